package cmd

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/cmd/settings"
)

var update = flag.Bool("update", false, "write the README's table of settings anew")

// The table of settings in the README is what the code says of them.
func TestReadme_ListsEverySettingAsItIs(t *testing.T) {
	const begin, end = "<!-- settings: go test ./cmd -run TestReadme -update -->\n", "<!-- end of settings -->"
	content, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(content), begin)
	require.True(t, found, "the README has the line %q", begin)
	table, after, found := strings.Cut(rest, end)
	require.True(t, found, "the README has the line %q", end)

	schema, err := settings.New()
	require.NoError(t, err)
	want := schema.Reference()
	if *update {
		require.NoError(t, os.WriteFile("../README.md", []byte(before+begin+want+end+after), 0o644))
		return
	}
	require.Equal(t, want, table, "go test ./cmd -run TestReadme -update writes it anew")
}
