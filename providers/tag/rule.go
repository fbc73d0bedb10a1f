package tag

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// parseRule reads what follows the word of a rule's tag.
func parseRule(scheme Scheme, word, fields string) (Rule, error) {
	target, rest := cut(fields)
	if target == "" {
		return Rule{}, fmt.Errorf("no host: expected %s HOST[/PATH] [PRIORITY]", word)
	}
	number, surplus := cut(rest)
	if surplus != "" {
		return Rule{}, fmt.Errorf("surplus %q: expected nothing after HOST[/PATH] and PRIORITY", surplus)
	}
	host, path := target, ""
	if slash := strings.IndexByte(target, '/'); slash >= 0 {
		host, path = target[:slash], target[slash:]
	}
	rule := Rule{Scheme: scheme}
	var err error
	switch {
	case host == "":
		return Rule{}, fmt.Errorf("no host before the path %q: expected HOST[/PATH], with * as HOST for every host", path)
	case strings.HasSuffix(host, ":") && strings.HasPrefix(path, "//"):
		return Rule{}, fmt.Errorf("%q is a URL: leave out the scheme %q, expected HOST[/PATH]", target, host+"//")
	}
	if rule.Host, err = canonicalHost(host); err != nil {
		return Rule{}, fmt.Errorf("host %q: %w", host, err)
	}
	if err := checkPath(path); err != nil {
		return Rule{}, fmt.Errorf("path %q: %w", path, err)
	}
	rule.Path = path
	if rule.Priority, err = parsePriority(number); err != nil {
		return Rule{}, err
	}
	return rule, nil
}

func parsePriority(number string) (int, error) {
	if number == "" {
		return DefaultPriority, nil
	}
	priority, err := strconv.ParseInt(number, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("priority %q: expected a whole number from %d to %d", number, math.MinInt32, math.MaxInt32)
	}
	return int(priority), nil
}

// checkPath refuses a prefix with which the raw path of no well-formed request starts (RFC 3986, section 3.3, but with
// the printable characters that clients leave unencoded all the same).
func checkPath(path string) error {
	escape := 0 // hexadecimal digits that an escape still needs
	for i := 0; i < len(path); i++ {
		c := path[i]
		if escape > 0 {
			if !isHex(c) {
				return errors.New("expected two hexadecimal digits after each %; a percent sign itself is written %25")
			}
			escape--
			continue
		}
		switch {
		case c == '%':
			escape = 2
		case c == '?':
			return errors.New("expected a path without a query: rules do not look at what follows the ?")
		case c == '#':
			return errors.New("expected a path without a fragment: clients keep the # and what follows it to themselves")
		case c <= ' ', c >= 0x7f:
			return errors.New("expected printable ASCII only: write the rest percent-encoded, as clients send it")
		}
	}
	return nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
