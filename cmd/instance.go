package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/tricot-proxy/tricot/cmd/settings"
)

// askInstance asks the instance that runs with these settings on this machine.
func askInstance(ctx context.Context, s *settings.Settings, path string, into any) error {
	if s.Admin.BindAddr == "" {
		return errors.New("admin.bind_addr is empty, so that no running instance can be asked: --offline reads the services instead")
	}
	address := reachable(s.Admin.BindAddr)
	if strings.HasSuffix(address, ":0") {
		return fmt.Errorf("admin.bind_addr = %s has no port of its own, so that no running instance can be found: "+
			"--offline reads the services instead", s.Admin.BindAddr)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return err
	}
	if s.Admin.Token != "" {
		request.Header.Set("Authorization", "Bearer "+s.Admin.Token)
	}
	client := &http.Client{
		Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(request)
	if err != nil {
		var wrong *url.Error
		if errors.As(err, &wrong) {
			err = wrong.Err // without the URL, which is long
		}
		return fmt.Errorf("ask the running instance at admin.bind_addr = %s: %w; --offline reads the services instead",
			s.Admin.BindAddr, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the running instance at %s answers %s: %s", s.Admin.BindAddr, answer.Status, said(answer))
	}
	return decode(answer.Body, into)
}

// said is why the instance gives no answer, as JSON or as text.
func said(answer *http.Response) string {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	var reason struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &reason) == nil && reason.Error != "" {
		return reason.Error
	}
	return strings.TrimSpace(string(text))
}

// reachable is where a listener on an address is reached from this machine.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if err == nil && ip.Is6() {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

// decode reads an answer of the instance.
func decode(from io.Reader, into any) error {
	if err := json.NewDecoder(from).Decode(into); err != nil {
		return fmt.Errorf("read the answer of the running instance: %w", err)
	}
	return nil
}
