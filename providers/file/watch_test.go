package file

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tricot-proxy/tricot/providers"
)

// A right granted to a group, or a disk that has recovered, does not show in the file's size, time and inode.
func TestWatch_ReadsAgainWhatItCouldNotReadThoughTheFileIsTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "services.yaml")
	require.NoError(t, os.WriteFile(path, []byte("services: []"), 0o600))
	info, err := os.Stat(path)
	require.NoError(t, err)

	begin := time.Now()
	published := 0
	w := watch{
		path: path, log: slog.New(slog.DiscardHandler), publish: func(providers.Snapshot) { published++ },
		seen: sight{info: info, err: errors.New("permission denied")}, changed: begin,
	}
	w.look(begin.Add(time.Hour))
	w.look(begin.Add(time.Hour + DefaultInterval))
	assert.Equal(t, 1, published)
}
