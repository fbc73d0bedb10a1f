package dir

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tricot-proxy/tricot/certs/store"
)

// Follow is as [store.Store] says. It looks at the modification times of the directories, and lists one, or reads a file,
// only where it may have changed: ten thousand records at rest cost three system calls a look.
func (s *Store) Follow(ctx context.Context, prefix string, changed func([]store.Record)) error {
	if err := store.CheckPrefix(prefix); err != nil {
		return fmt.Errorf("follow %s: %w", s.dir, err)
	}
	v := &view{store: s, dirs: map[string]*listing{}, odd: map[string]string{}}
	timer := time.NewTimer(s.poll)
	defer timer.Stop()
	told, away := false, false
	for ctx.Err() == nil {
		news, err := v.look(strings.TrimSuffix(prefix, "/"))
		switch {
		case err != nil && !away:
			away = true
			s.log.Error("certificate store cannot be read; what is known of it stays in force", "dir", s.dir,
				"prefix", prefix, "err", err)
		case err == nil && away:
			away = false
			s.log.Info("certificate store can be read again", "dir", s.dir, "prefix", prefix)
		}
		if err == nil && (news || !told) {
			told = true
			changed(v.records())
		}
		timer.Reset(s.poll)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	return nil
}
