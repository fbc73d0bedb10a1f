package tag

import (
	"fmt"
	"strings"
)

// The first words of the language.
const (
	wordRule      = "tricot"
	wordRuleHTTPS = "tricot-https"
	wordRuleH2C   = "tricot-h2c"
	wordAddHeader = "tricot-add-header"
	wordGlobalLB  = "tricot-global-lb"
	wordSiteLB    = "tricot-site-lb"
	wordAsk       = "tricot-on-demand-tls-ask"

	prefix = wordRule + "-" // whatever starts so is meant for Tricot
)

// Parse reads the tags of one service. Tags that are somebody else's are ignored; each malformed one gives an Error, in
// the order of the tags, and leaves the others in force. The result shares memory with the tags. Parse may be called
// by many goroutines at once.
func Parse(tags []string) (Config, []Error) {
	var config Config
	var malformed []Error
	for _, tag := range tags {
		if err := config.add(tag); err != nil {
			malformed = append(malformed, Error{Tag: tag, Reason: err.Error()})
		}
	}
	return config, malformed
}

// Error gives tag and reason in one line, whatever bytes the tag is made of.
func (e Error) Error() string {
	return fmt.Sprintf("tag %q: %s", e.Tag, e.Reason)
}

func (c *Config) add(tag string) error {
	word, rest := cut(strings.Trim(tag, " "))
	switch word {
	case wordRule:
		return c.route(HTTP, word, rest)
	case wordRuleHTTPS:
		return c.route(HTTPS, word, rest)
	case wordRuleH2C:
		return c.route(H2C, word, rest)
	case wordAddHeader:
		header, err := parseHeader(rest)
		if err != nil {
			return err
		}
		c.Headers = append(c.Headers, header)
	case wordGlobalLB:
		return c.spread(Global, word, rest)
	case wordSiteLB:
		return c.spread(Site, word, rest)
	case wordAsk:
		return c.askAt(rest)
	default:
		if strings.HasPrefix(word, prefix) {
			return fmt.Errorf("unknown tag %q: expected one of %s, %s, %s, %s, %s, %s, %s",
				word, wordRule, wordRuleHTTPS, wordRuleH2C, wordAddHeader, wordGlobalLB, wordSiteLB, wordAsk)
		}
	}
	return nil
}

func (c *Config) route(scheme Scheme, word, rest string) error {
	rule, err := parseRule(scheme, word, rest)
	if err != nil {
		return err
	}
	c.Rules = append(c.Rules, rule)
	return nil
}

// spread takes the wider of what two balance tags say.
func (c *Config) spread(over Balance, word, rest string) error {
	if rest != "" {
		return fmt.Errorf("surplus %q: expected nothing after %s", rest, word)
	}
	c.Balance = max(c.Balance, over)
	return nil
}

// cut gives the first field and what follows it, without the spaces between.
func cut(s string) (field, rest string) {
	field, rest, _ = strings.Cut(s, " ")
	return field, strings.TrimLeft(rest, " ")
}
