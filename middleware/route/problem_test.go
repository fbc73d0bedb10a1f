package route

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMasked_LeavesOutWhatMayBeASecretInAURL(t *testing.T) {
	const ask = "tricot-on-demand-tls-ask "
	for text, want := range map[string]string{
		ask + "https://a.example/ask":                        ask + "https://a.example/ask",
		ask + "https://a.example/ask?":                       ask + "https://a.example/ask?",
		ask + "https://a.example/ask?key=secret":             ask + "https://a.example/ask?***",
		ask + "https://me:secret@a.example/ask?key=secret x": ask + "https://***@a.example/ask?*** x",
		ask + "https://me:se@cret@a.example":                 ask + "https://***@a.example",
		" " + ask + "//me:secret@a?b?secret":                 " " + ask + "//***@a?***",
	} {
		assert.Equal(t, want, Masked(text, text))
		problem := Problem{Service: "s", ID: "i", Tag: text, Reason: `the URL "https://me:secret@a.example/?secret" is not one`}
		assert.NotContains(t, problem.Error(), "secret")
		assert.Contains(t, problem.Error(), `the URL "https://***@a.example/?***" is not one`)
	}
	assert.Equal(t, "tricot a.example/?x", Masked("tricot a.example/?x", "tricot a.example/?x"))
}
