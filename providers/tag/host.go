package tag

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// RFC 1035, section 2.3.4, as it is written without the dot at the end.
const (
	maxHost  = 253
	maxLabel = 63
)

var errIPv6 = errors.New("expected an IPv6 address without zone in the brackets, such as [2001:db8::1]")

// canonicalHost gives the form of a rule's host in which it is compared with that of requests. Host is not empty. For a
// host without "*" it is the form that package pipeline gives the host of a request; more than pipeline it takes only
// internationalised names with "_" in their ASCII labels, which clients send in ASCII.
//
// A host that is in canonical form already costs no allocation.
func canonicalHost(host string) (string, error) {
	if host[0] == '[' {
		return canonicalIPv6(host)
	}
	if err := checkPort(host); err != nil {
		return "", err
	}
	host = strings.TrimSuffix(host, ".")
	lower, ascii := true, true
	for i := 0; i < len(host); i++ {
		c := host[i]
		lower = lower && (c < 'A' || c > 'Z')
		ascii = ascii && c < 0x80
	}
	if !ascii {
		var err error
		if host, err = toASCII(host); err != nil {
			return "", err
		}
	} else if !lower {
		host = strings.ToLower(host)
	}
	for strings.Contains(host, "**") {
		host = strings.ReplaceAll(host, "**", "*")
	}
	return host, checkName(host)
}

// canonicalIPv6 reads an address in brackets. Its form is that of [netip.Addr.String].
func canonicalIPv6(host string) (string, error) {
	inside, rest, closed := strings.Cut(host[1:], "]")
	if closed && strings.HasPrefix(rest, ":") {
		return "", errPort(rest)
	}
	addr, err := netip.ParseAddr(inside)
	if err != nil || !closed || rest != "" || !addr.Is6() || addr.Zone() != "" {
		return "", errIPv6
	}
	if canonical := addr.String(); canonical != inside {
		return "[" + canonical + "]", nil
	}
	return host, nil
}

// checkPort refuses the port and the IPv6 address without brackets, which are what a colon most likely means.
func checkPort(host string) error {
	colon := strings.LastIndexByte(host, ':')
	if colon < 0 {
		return nil
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return fmt.Errorf("expected an IPv6 address in brackets: [%s]", addr.WithZone(""))
	}
	if strings.Trim(host[colon+1:], "0123456789") == "" {
		return errPort(host[colon:])
	}
	return nil // checkName refuses the colon
}

func errPort(port string) error {
	return fmt.Errorf("leave out %q: a rule has no port, it holds on those that Tricot listens on", port)
}

// toASCII gives the ASCII form of an internationalised name. Most are converted in one piece, since the rules for names
// that run from right to left (RFC 5893) are about the whole name. Names with a "*" or a "_", which those rules do not
// know, are converted label by label.
func toASCII(host string) (string, error) {
	if !utf8.ValidString(host) { // IDNA takes a broken byte for a character
		return "", errors.New("expected UTF-8")
	}
	if !strings.ContainsAny(host, "*_") {
		return lookup(host)
	}
	labels := strings.Split(host, ".")
	for i, label := range labels {
		switch {
		case isASCII(label):
			labels[i] = strings.ToLower(label)
		case strings.Contains(label, "*"):
			return "", fmt.Errorf("expected the label %q in ASCII, since it has a *", label)
		default:
			var err error
			if labels[i], err = lookup(label); err != nil {
				return "", err
			}
		}
	}
	return strings.Join(labels, "."), nil
}

func lookup(name string) (string, error) {
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return "", fmt.Errorf("expected a name that has an ASCII form by RFC 5891: %w", err)
	}
	return ascii, nil
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// checkName says what keeps a host in lower case from being a name or a pattern.
func checkName(host string) error {
	if len(host) > maxHost {
		return fmt.Errorf("expected at most %d characters, it has %d", maxHost, len(host))
	}
	start := 0 // of the label
	for i := 0; i <= len(host); i++ {
		if i == len(host) || host[i] == '.' {
			switch length := i - start; {
			case length == 0:
				return errors.New("expected a label before and after each dot")
			case length > maxLabel:
				return fmt.Errorf("expected labels of at most %d characters, %q has %d", maxLabel, host[start:i], length)
			}
			start = i + 1
			continue
		}
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '*':
		default:
			return fmt.Errorf("expected letters, digits, -, _, . and *, it has %q", c)
		}
	}
	return nil
}
