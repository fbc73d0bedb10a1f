package certs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// answerPatience is how long an endpoint may take for its answer.
const answerPatience = 5 * time.Second

// A question is whether a name may have a certificate on demand, to the endpoint at a URL.
type question struct{ name, url string }

// An answer is what an endpoint makes of a name. Where err is set, it has made nothing of it.
type answer struct {
	question
	renewal bool // there is a certificate: the loop asks
	allowed bool
	err     error
}

// address is the URL to get. What it has for a query stays as it is.
func (q question) address() (string, error) {
	u, err := url.Parse(q.url)
	if err != nil {
		return "", errors.New("it is not a URL") // the error has all of it, secrets too
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return "", errors.New("expected an absolute URL, http or https, without a user and a fragment")
	}
	query := "domain=" + url.QueryEscape(q.name)
	if u.RawQuery != "" {
		query = strings.TrimSuffix(u.RawQuery, "&") + "&" + query
	}
	u.RawQuery = query
	return u.String(), nil
}

// endpoint is a URL as logs have it: what may be secret is left out.
func (q question) endpoint() string {
	u, err := url.Parse(q.url)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// put asks the endpoint.
func (q question) put(ctx context.Context, client *http.Client) (allowed bool, err error) {
	at, err := q.address()
	if err != nil {
		return false, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return false, errors.New("it is not a URL that can be asked")
	}
	request.Header.Set("User-Agent", "tricot")
	response, err := client.Do(request)
	if err != nil {
		var with *url.Error // has the whole URL
		if errors.As(err, &with) {
			err = with.Err
		}
		return false, err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 4<<10) // so that the connection may be used again
	switch status := response.StatusCode; {
	case status == http.StatusOK:
		return true, nil
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooEarly,
		status == http.StatusTooManyRequests:
		return false, fmt.Errorf("it answers HTTP %d", status)
	}
	return false, nil
}

// newAskClient makes the client for the endpoints. It follows no redirect: the page where one would have to log in says
// 200 too.
func newAskClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: answerPatience}).DialContext,
			TLSHandshakeTimeout:    answerPatience,
			IdleConnTimeout:        time.Minute,
			MaxIdleConnsPerHost:    maxQuestions,
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
		}
	}
	return &http.Client{
		Transport:     transport,
		Timeout:       answerPatience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
