package settings

import (
	"errors"
	"fmt"
	"mime"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/tricot-proxy/tricot/certs/acme"
)

// A constraint says what is wrong with a value that has the right kind, nil where it is fine.
type constraint func(field reflect.Value, value *given) error

// constraints parses the tag is: names of constraints, separated by commas.
//
//	positive, min=N, max=N   of a number or a duration
//	oneof=A|B                the text, or each item of a list
//	nonempty, unique         of a list
//	address                  host:port to listen on, or nothing
//	url, acme_url            http or https; acme_url takes http only on loopback
//	certificate_file, key_file
//	email, kv_prefix, mime_type
//
// A text that is empty passes them all where it is empty by default.
func constraints(tag string, of *kind) ([]constraint, error) {
	var all []constraint
	for _, word := range words(tag) {
		name, argument, _ := strings.Cut(word, "=")
		var add constraint
		switch name {
		case "positive":
			add = positive
		case "min", "max":
			limit, err := measure(argument)
			if err != nil {
				return nil, fmt.Errorf("constraint %q: %w", word, err)
			}
			add = within(name, argument, limit)
		case "oneof":
			add = each(oneOf(strings.Split(argument, "|")))
		case "nonempty":
			add = nonempty
		case "unique":
			add = unique
		case "address":
			add = each(address)
		case "url":
			add = each(httpURL)
		case "acme_url":
			add = each(acmeDirectory)
		case "certificate_file":
			add = each(certificateFile)
		case "key_file":
			add = each(keyFile)
		case "email":
			add = each(email)
		case "kv_prefix":
			add = each(kvPrefix)
		case "mime_type":
			add = each(mimeType)
		default:
			return nil, fmt.Errorf("there is no constraint %q", word)
		}
		if measures := name == "positive" || name == "min" || name == "max"; measures != of.measured() ||
			(name == "nonempty" || name == "unique") && !of.list {
			return nil, fmt.Errorf("the constraint %q is not for a %s", word, of.name)
		}
		all = append(all, add)
	}
	return all, nil
}

// each applies a check to a text, or to each item of a list.
func each(check func(string) error) constraint {
	return func(_ reflect.Value, value *given) error {
		if !value.list {
			return check(value.text)
		}
		for _, item := range value.items {
			if err := check(item); err != nil {
				return fmt.Errorf("%q: %w", item, err)
			}
		}
		return nil
	}
}

func measure(text string) (float64, error) {
	if parsed, err := time.ParseDuration(text); err == nil {
		return float64(parsed), nil
	}
	return strconv.ParseFloat(text, 64)
}

func size(field reflect.Value) float64 {
	switch {
	case field.CanInt():
		return float64(field.Int())
	case field.CanUint():
		return float64(field.Uint())
	case field.CanFloat():
		return field.Float()
	}
	return 0
}

func positive(field reflect.Value, _ *given) error {
	if size(field) <= 0 {
		return errors.New("it must be more than 0")
	}
	return nil
}

func within(end, limit string, by float64) constraint {
	return func(field reflect.Value, _ *given) error {
		switch {
		case end == "min" && size(field) < by:
			return fmt.Errorf("it must be at least %s", limit)
		case end == "max" && size(field) > by:
			return fmt.Errorf("it must be at most %s", limit)
		}
		return nil
	}
}

func nonempty(_ reflect.Value, value *given) error {
	if value.empty() {
		return errors.New("it must not be empty")
	}
	return nil
}

func unique(_ reflect.Value, value *given) error {
	for i, item := range value.items {
		if slices.Contains(value.items[:i], item) {
			return fmt.Errorf("%q is there twice", item)
		}
	}
	return nil
}

func oneOf(choices []string) func(string) error {
	return func(text string) error {
		if !slices.Contains(choices, text) {
			return fmt.Errorf("%s is expected", strings.Join(choices, " or "))
		}
		return nil
	}
}

func oneLine(text string) error {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return errors.New("a line break or another control character is in it")
	}
	return nil
}

func address(text string) error {
	if text == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return errors.New("an address and a port are expected, such as 0.0.0.0:80, :80 or [::1]:80")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("the port %q is no number from 0 to 65535", port)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !isHostName(host) {
		return fmt.Errorf("%q is neither an IP address nor a host name", host)
	}
	return nil
}

// isHostName says whether a name could be looked up. One that ends in a number is a mistyped IPv4 address (RFC 3696,
// section 2: no top-level domain is all digits).
func isHostName(name string) bool {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
		}) {
			return false
		}
	}
	_, err := strconv.ParseUint(labels[len(labels)-1], 10, 64)
	return err != nil
}

func httpURL(text string) error {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Hostname() == "" {
		return errors.New("an http or https URL is expected, such as http://127.0.0.1:8500")
	}
	if port := parsed.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("the port %s is no number from 1 to 65535", port)
		}
	}
	switch {
	case parsed.User != nil:
		return errors.New("a URL without a user and password is expected")
	case parsed.RawQuery != "" || parsed.Fragment != "":
		return errors.New("a URL without a query and fragment is expected")
	}
	return nil
}

func secureURL(text string) error {
	if err := httpURL(text); err != nil {
		return err
	}
	parsed, err := url.Parse(text)
	if err != nil {
		return err
	}
	addr, _ := netip.ParseAddr(parsed.Hostname())
	if parsed.Scheme == "http" && !addr.Unmap().IsLoopback() && parsed.Hostname() != "localhost" {
		return errors.New("an https URL is expected: plain http is for loopback only")
	}
	return nil
}

// acmeDirectory asks the issuer last, whose error quotes what could be a secret in another URL.
func acmeDirectory(text string) error {
	if err := secureURL(text); err != nil {
		return err
	}
	return acme.CheckDirectory(text)
}

func email(text string) error {
	parsed, err := mail.ParseAddress(text)
	if err != nil || parsed.Address != text {
		return errors.New("an email address is expected, such as ops@example.com")
	}
	return acme.CheckEmail(text)
}

func kvPrefix(text string) error {
	if strings.HasPrefix(text, "/") {
		return errors.New("a prefix in Consul's key-value store does not start with /")
	}
	return nil
}

func mimeType(text string) error {
	parsed, parameters, err := mime.ParseMediaType(text)
	if err != nil || len(parameters) > 0 || strings.ContainsAny(text, ";* ") || strings.Count(parsed, "/") != 1 {
		return errors.New("a MIME type is expected, such as text/html, without parameters and without *")
	}
	return nil
}
