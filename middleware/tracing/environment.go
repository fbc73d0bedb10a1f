package tracing

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// checkEnvironment finds what the SDK would only complain about on stderr, values of fields and all, and go on without.
func checkEnvironment() error {
	var wrong []error
	check := func(name string, valid func(value string) error) {
		if value := strings.TrimSpace(os.Getenv(name)); value != "" {
			if err := valid(value); err != nil {
				wrong = append(wrong, fmt.Errorf("%s %w", name, err))
			}
		}
	}
	check("OTEL_TRACES_EXPORTER", oneOf("otlp", "none"))
	check("OTEL_TRACES_SAMPLER", oneOf("always_on", "always_off", "traceidratio", "parentbased_always_on",
		"parentbased_always_off", "parentbased_traceidratio"))
	if strings.HasSuffix(os.Getenv("OTEL_TRACES_SAMPLER"), "traceidratio") {
		check("OTEL_TRACES_SAMPLER_ARG", isRatio)
	}
	for _, prefix := range []string{"OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_"} {
		check(prefix+"PROTOCOL", oneOf("http/protobuf", "http/json"))
		check(prefix+"COMPRESSION", oneOf("gzip", "none"))
		check(prefix+"ENDPOINT", isURL)
		check(prefix+"TIMEOUT", isMilliseconds)
		check(prefix+"HEADERS", areHeaders)
		check(prefix+"CERTIFICATE", isCertificate)
		check(prefix+"CLIENT_CERTIFICATE", isCertificateOf(prefix+"CLIENT_KEY"))
	}
	return errors.Join(wrong...)
}

// isSet says whether any of the variables is.
func isSet(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return os.Getenv(name) != "" })
}

func oneOf(values ...string) func(string) error {
	return func(value string) error {
		if slices.Contains(values, value) {
			return nil
		}
		return fmt.Errorf("is %q, and has to be one of %s", value, strings.Join(values, ", "))
	}
}

func isRatio(value string) error {
	if ratio, err := strconv.ParseFloat(value, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
		return fmt.Errorf("is %q, and has to be a number from 0 to 1", value)
	}
	return nil
}

func isURL(value string) error {
	if u, err := url.Parse(value); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("has to be an http or https URL")
	}
	return nil
}

func isMilliseconds(value string) error {
	if n, err := strconv.Atoi(value); err != nil || n < 0 {
		return fmt.Errorf("is %q, and has to be a number of milliseconds", value)
	}
	return nil
}

// areHeaders says nothing of the values, which may be secrets.
func areHeaders(value string) error {
	for i, header := range strings.Split(value, ",") {
		name, content, found := strings.Cut(header, "=")
		if _, err := url.PathUnescape(content); !found || err != nil || strings.TrimSpace(name) == "" {
			return fmt.Errorf("has to be a list of NAME=VALUE, with values percent-encoded; number %d is not", i+1)
		}
	}
	return nil
}

func isCertificate(path string) error {
	pem, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("names a file that cannot be read: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return fmt.Errorf("names %s, which has no certificate", path)
	}
	return nil
}

func isCertificateOf(key string) func(string) error {
	return func(path string) error {
		if _, err := tls.LoadX509KeyPair(path, os.Getenv(key)); err != nil {
			return fmt.Errorf("and %s cannot be loaded: %w", key, err)
		}
		return nil
	}
}
