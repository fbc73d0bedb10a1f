package tag_test

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/tricot-proxy/tricot/pipeline"
	"github.com/tricot-proxy/tricot/providers/tag"
)

func TestParse_GivesAHostTheFormThatItsRequestsHave(t *testing.T) {
	for _, host := range []string{
		"localhost", "A.Example.COM", "a.example.", "a.example..", ".", ".a", "a..b", "-a-", "_a.example", "a$b", "a@b", "a?b",
		"127.0.0.1", "127.0.0.1.", "999.1.1.1", "[::1]", "[2001:DB8:0::1]", "[::ffff:127.0.0.1]", "[::1", "[]", "[127.0.0.1]",
		"[fe80::1%25eth0]", "[::1].", "[::1]x",
		"bücher.example", "BÜCHER.example.", "straße.example", "XN--BCHER-KVA.example", "xn--a.example", "xn--\x7f.example",
		"ｅｘａｍｐｌｅ。com", "bücher。", "-ü.example", "ab--ü.example", "ü\xff", "\xff", "a\u00adb.example", "faß\u200d.example",
		"א.example", "אa.example", "1.א", "١.example", "xn--bcher-kva.ü", "xn--zz!.ü", "≠.example", "İ.example", "K.example",
		strings.Repeat("a", 63) + ".b", strings.Repeat("a", 64) + ".b", strings.Repeat("ü", 63) + ".b",
		strings.Repeat("a.", 126) + "b", strings.Repeat("a.", 126) + "bc", strings.Repeat("a.", 127) + ".",
	} {
		agree(t, host)
	}
}

// agree holds the host of a rule against the host of a request for it. Host has no "*", "/", space or port.
func agree(t *testing.T, host string) {
	t.Helper()
	config, _ := tag.Parse([]string{"tricot " + host})
	if !utf8.ValidString(host) {
		assert.Empty(t, config.Rules, "%q is no text", host)
		return
	}
	want, ok := pipeline.Host(&http.Request{Host: host})
	if ok {
		if assert.Len(t, config.Rules, 1, "requests for %q are for %q, and there is no rule", host, want) {
			assert.Equal(t, want, config.Rules[0].Host, "%q", host)
		}
		return
	}
	if strings.Contains(host, "_") && len(config.Rules) == 1 {
		// The rule is for requests that name the host in ASCII, as all clients do.
		want, _ = pipeline.Host(&http.Request{Host: config.Rules[0].Host})
		assert.Equal(t, want, config.Rules[0].Host, "%q", host)
		return
	}
	assert.Empty(t, config.Rules, "no request can be for %q, and there is a rule", host)
}
