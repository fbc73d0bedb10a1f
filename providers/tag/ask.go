package tag

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// askAt reads what follows tricot-on-demand-tls-ask.
func (c *Config) askAt(rest string) error {
	ask, surplus := cut(rest)
	switch {
	case ask == "":
		return errors.New("no URL: expected " + wordAsk + " URL")
	case surplus != "":
		return fmt.Errorf("surplus %q: expected nothing after %s URL", surplus, wordAsk)
	}
	if err := checkURL(ask); err != nil {
		return fmt.Errorf("URL %q: %w", ask, err)
	}
	if c.Ask != "" && c.Ask != ask {
		return fmt.Errorf("a second URL %q: expected one for all of the service, it has %q already", ask, c.Ask)
	}
	c.Ask = ask
	return nil
}

// checkURL refuses what is not the URL of an endpoint to which a parameter may be added.
func checkURL(text string) error {
	for i := 0; i < len(text); i++ {
		if c := text[i]; c <= ' ' || c >= 0x7f {
			return errors.New("expected printable ASCII only: write the rest percent-encoded")
		}
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		var why *url.Error // has the URL once more
		if errors.As(err, &why) {
			err = why.Err
		}
		return fmt.Errorf("expected an absolute URL: %w", err)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return errors.New("expected an absolute URL with http or https, such as https://app.example.com/allowed")
	case u.User != nil:
		return errors.New("expected a URL without user and password")
	case strings.Contains(text, "#"):
		return errors.New("expected a URL without a fragment: it is never sent")
	}
	return nil
}
