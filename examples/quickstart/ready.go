package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// awaitReady returns nil when an HTTPS request through Tricot is answered by a backend, with a certificate that the
// local root vouches for, and the plain HTTP port listens. It gives up after half a minute.
func awaitReady(ctx context.Context, ports ports, root string) error {
	timeout, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		err := probe(timeout, ports, root)
		if err == nil {
			return nil
		}
		select {
		case <-retry.C:
		case <-timeout.Done():
			return fmt.Errorf("wait for Tricot to answer: %w", err)
		}
	}
}

// probe asks once.
func probe(ctx context.Context, ports ports, root string) error {
	var dialer net.Dialer
	plain, err := dialer.DialContext(ctx, "tcp", loopback(ports.HTTP))
	if err != nil {
		return err
	}
	_ = plain.Close()

	client, err := trusting(root, ports)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url("https", ports.HTTPS, "/"), nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", request.URL, response.Status)
	}
	return nil
}

// trusting gives a client that trusts the local root alone, and finds localhost at Tricot's address, whatever the
// machine's name service makes of it.
func trusting(root string, ports ports) (*http.Client, error) {
	pem, err := os.ReadFile(root)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", root)
	}
	var dialer net.Dialer
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, loopback(ports.HTTPS))
		},
	}}, nil
}
