package pipeline

import "strings"

// ChallengePath is where a CA asks for the answer to a challenge (RFC 8555, section 8.3); the token follows.
const ChallengePath = "/.well-known/acme-challenge/"

// WithoutToken is a path as logs and traces may show it: without the token of a challenge.
func WithoutToken(path string) string {
	if token, ok := strings.CutPrefix(path, ChallengePath); ok && token != "" {
		return ChallengePath + "***"
	}
	return path
}
