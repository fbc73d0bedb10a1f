package store

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCheckKey_AcceptsNamesJoinedBySlashes(t *testing.T) {
	for _, key := range []string{
		"a", "certs/app.example.com", "certs/*.example.com", "challenge/aZ09_-", "account/a/b/c", "...", "~~1",
		"certs/locks", "locksmith/x", strings.Repeat("n", MaxName),
	} {
		assert.NoError(t, CheckKey(key), key)
	}
}

func TestCheckKey_RefusesAllElseAndSaysWhy(t *testing.T) {
	for key, why := range map[string]string{
		"":                                "empty",
		"/":                               "empty",
		"/certs":                          "empty",
		"certs/":                          "empty",
		"certs//a":                        "empty",
		".":                               "is not a name",
		"certs/../a":                      "is not a name",
		"certs/a b":                       "' ' is not allowed",
		"certs/a\x00":                     `'\x00' is not allowed`,
		"certs/[::1]":                     "'[' is not allowed",
		`certs\a`:                         `'\\' is not allowed`,
		"certs/ä":                         "is not allowed",
		"certs/#new":                      "'#' is not allowed",
		"locks":                           "kept for locks",
		"locks/a":                         "kept for locks",
		strings.Repeat("n", MaxName+1):    "255",
		strings.Repeat("name/", 80) + "n": "400",
	} {
		assert.ErrorContains(t, CheckKey(key), why, key)
	}
}

func TestCheckPrefix_WantsWholeNamesAndASlash(t *testing.T) {
	assert.NoError(t, CheckPrefix("certs/"))
	assert.NoError(t, CheckPrefix("a/b/"))
	for _, prefix := range []string{"", "/", "certs", "certs//", "../", "locks/"} {
		assert.Error(t, CheckPrefix(prefix), prefix)
	}
}

func TestCheckRecord_RefusesAValueThatIsTooLarge(t *testing.T) {
	assert.NoError(t, CheckRecord(Record{Key: "a", Value: make([]byte, MaxValue+Sealing)}))
	assert.ErrorContains(t, CheckRecord(Record{Key: "a", Value: make([]byte, MaxValue+Sealing+1)}), "262273")
	assert.Error(t, CheckRecord(Record{Key: ".."}))
}
