package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tricot-proxy/tricot/certs/store"
)

func (s *Store) path(key string) string { return filepath.Join(s.dir, filepath.FromSlash(key)) }

// find walks from the directory down to the file of a key, so that nothing on the way is a symbolic link or open to other
// users. It gives store.ErrNotFound where something on the way is not there.
func (s *Store) find(key string) (fs.FileInfo, error) {
	if err := s.present(); err != nil {
		return nil, err
	}
	path, rest, more := s.dir, key, true
	var info fs.FileInfo
	for more {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		path = filepath.Join(path, name)
		var err error
		info, err = os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, store.ErrNotFound
		case err != nil:
			return nil, err
		case more && !info.IsDir():
			return nil, fmt.Errorf("%s is %s, not a directory", path, kind(info))
		case !more && !info.Mode().IsRegular():
			return nil, fmt.Errorf("%s is %s, not a file", path, kind(info))
		}
		if err := s.tighten(path, info); err != nil {
			return nil, err
		}
	}
	return info, nil
}

// present says whether the directory itself is still there: without it, a missing file says nothing.
func (s *Store) present() error {
	info, err := os.Stat(s.dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is %s, not a directory", s.dir, kind(info))
	}
	return err
}

func (s *Store) read(key string) (store.Record, error) {
	if _, err := s.find(key); err != nil {
		return store.Record{}, err
	}
	value, err := os.ReadFile(s.path(key))
	if errors.Is(err, fs.ErrNotExist) { // deleted since it was found
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Record{}, err
	}
	return store.Record{Key: key, Value: value, Version: version(value)}, nil
}

// makeParents makes the directories between the store's own and a file.
func (s *Store) makeParents(path string) error {
	parent := filepath.Dir(path)
	if parent == s.dir {
		return nil
	}
	if info, err := os.Lstat(parent); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is %s, not a directory", parent, kind(info))
		}
		return nil
	}
	if err := s.makeParents(parent); err != nil {
		return err
	}
	if err := os.Mkdir(parent, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(parent))
}

// writeWhole puts a value into place such that a reader, also one after a crash, sees the old file or the new one. Its
// caller keeps other writers out.
func writeWhole(path string, value []byte) (err error) {
	parent := filepath.Dir(path)
	temporary := filepath.Join(parent, unfinished)
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(value)
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return syncDir(parent)
}

// syncDir makes what was created, renamed or removed in a directory last through a loss of power.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	err = dir.Sync()
	if closed := dir.Close(); err == nil {
		err = closed
	}
	return err
}

// loose says whether other users have any right to a file or directory.
func loose(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

// tighten takes away the rights of other users to a file or directory, or says that it could not.
func (s *Store) tighten(path string, info fs.FileInfo) error {
	if !loose(info) {
		return nil
	}
	mode := info.Mode().Perm()
	if err := os.Chmod(path, mode&^0o077); err != nil {
		return fmt.Errorf("%s is open to other users (mode %04o), which private keys must not be: %w", path, mode, err)
	}
	s.log.Warn("closed a part of the certificate store that was open to other users", "path", path,
		"mode", fmt.Sprintf("%04o", mode))
	return nil
}

func kind(info fs.FileInfo) string {
	switch info.Mode().Type() {
	case 0:
		return "a file"
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSymlink:
		return "a symbolic link"
	}
	return "a special file"
}
