package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWithoutToken_MasksATokenAndNothingElse(t *testing.T) {
	for path, want := range map[string]string{
		ChallengePath + "token": ChallengePath + "***", ChallengePath: ChallengePath, "/a/b": "/a/b", "": "",
		"/x" + ChallengePath + "token": "/x" + ChallengePath + "token",
	} {
		assert.Equal(t, want, WithoutToken(path))
	}
}
