package consul

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"
)

// classify tells the kind of trouble that an error is, and what somebody can do about it, empty where that is not known.
func classify(err error) (kind, string) {
	if errors.Is(err, errFiltered) {
		return refused, "give the token of consul.token node:read and service:read"
	}
	var status api.StatusError
	if errors.As(err, &status) {
		return classifyStatus(status)
	}
	return classifyTLS(err)
}

func classifyStatus(status api.StatusError) (kind, string) {
	switch {
	case status.Code == http.StatusUnauthorized || status.Code == http.StatusForbidden:
		return refused, "check consul.token, and that its policies give node:read and service:read"
	case status.Code == http.StatusTooManyRequests:
		return refused, "each service with a tag for Tricot is a connection of its own: raise limits.http_max_conns_per_client " +
			"of the agent, or use its https port, which needs one connection for many"
	case status.Code == http.StatusBadRequest && strings.Contains(status.Body, "HTTPS server"):
		return refused, "consul.host has to begin with https"
	}
	return away, ""
}

func classifyTLS(err error) (kind, string) {
	var (
		unverified *tls.CertificateVerificationError
		authority  x509.UnknownAuthorityError
		hostname   x509.HostnameError
		invalid    x509.CertificateInvalidError
		plain      tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &authority):
		return refused, "check consul.ca_cert: it is to have the root of the agent's certificate"
	case errors.As(err, &hostname):
		return refused, "check consul.host: the agent's certificate is for another name"
	case errors.As(err, &invalid), errors.As(err, &unverified):
		return refused, "check the agent's certificate, and consul.ca_cert"
	case isAlert(err):
		return refused, "check consul.client_cert and consul.client_key: the agent ended the handshake"
	case errors.As(err, &plain), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return refused, "consul.host has to begin with http, not https"
	case errors.Is(err, errClientCertificate):
		return refused, "check consul.client_cert and consul.client_key"
	}
	return away, ""
}
