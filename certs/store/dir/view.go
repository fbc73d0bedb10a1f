package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/tricot-proxy/tricot/certs/store"
)

// A view is what one Follow knows of the directories below its prefix.
type view struct {
	store *Store
	dirs  map[string]*listing // by the directory's key
	odd   map[string]string   // what is wrong with a file, by key: it is logged once
	news  bool                // a record changed since the last records
}

// A listing is what a directory held.
type listing struct {
	stamp
	again   bool // a file could not be read: list it again in any case
	subdirs []string
	files   map[string]*file // by key
}

// A file is a record as it was read.
type file struct {
	stamp
	record store.Record
}

// look brings the view up to date, and says whether a record changed. After an error, which leaves it incomplete, the
// changes that it has seen come with the next success.
func (v *view) look(top string) (bool, error) {
	if err := v.store.present(); err != nil {
		return false, err
	}
	if err := v.update(top); err != nil {
		return false, err
	}
	return v.news, v.store.present() // otherwise what was missing says nothing
}

func (v *view) update(top string) error {
	var parents []string
	for at, c := range top {
		if c == '/' {
			parents = append(parents, top[:at])
		}
	}
	for _, parent := range parents {
		switch info, err := os.Lstat(v.store.path(parent)); {
		case errors.Is(err, fs.ErrNotExist):
			v.forget(top)
			return nil
		case err != nil:
			return err
		case !info.IsDir():
			return fmt.Errorf("%s is %s, not a directory", v.store.path(parent), kind(info))
		}
	}
	return v.walk(top, time.Now())
}

func (v *view) walk(key string, now time.Time) error {
	path := v.store.path(key)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.forget(key)
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is %s, not a directory", path, kind(info))
	}
	if err := v.store.tighten(path, info); err != nil {
		return err
	}
	known := v.dirs[key]
	if known == nil || known.again || !known.unchanged(info) || now.Sub(known.last) >= relist {
		if known, err = v.list(key, info, now); err != nil {
			return err
		}
	}
	for _, subdir := range known.subdirs {
		if err := v.walk(subdir, now); err != nil {
			return err
		}
	}
	return nil
}

// list reads a directory, and those of its files that may have changed.
func (v *view) list(key string, info fs.FileInfo, now time.Time) (*listing, error) {
	entries, err := os.ReadDir(v.store.path(key))
	if err != nil {
		return nil, err
	}
	old := v.dirs[key]
	if old == nil {
		old = &listing{}
	}
	l := &listing{stamp: old.next(info, now), files: make(map[string]*file, len(entries))}
	var bad []string
	for _, entry := range entries {
		name := entry.Name()
		if store.CheckName(name) != nil {
			continue
		}
		below := key + "/" + name
		if entry.IsDir() {
			l.subdirs = append(l.subdirs, below)
			continue
		}
		f, err := v.file(below, old.files[below], entry, now)
		v.report(below, err)
		if err != nil {
			bad = append(bad, below)
			l.again = l.again || entry.Type().IsRegular()
		}
		if f != nil {
			l.files[below] = f
		}
	}
	for below := range v.odd {
		if path.Dir(below) == key && !slices.Contains(bad, below) {
			v.report(below, nil) // it is gone, which is well too
		}
	}
	for below, was := range old.files {
		if is := l.files[below]; is == nil || is.record.Version != was.record.Version {
			v.news = true
		}
	}
	for below := range l.files {
		v.news = v.news || old.files[below] == nil
	}
	for _, subdir := range old.subdirs {
		if !slices.Contains(l.subdirs, subdir) {
			v.forget(subdir)
		}
	}
	v.dirs[key] = l
	return l, nil
}

// file gives a record as it is now, nil where there is none. With an error it gives what was known of it.
func (v *view) file(key string, known *file, entry fs.DirEntry, now time.Time) (*file, error) {
	info, err := entry.Info()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return known, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no record", kind(info))
	case known != nil && known.unchanged(info):
		if loose(info) {
			return known, v.store.tighten(v.store.path(key), info)
		}
		return known, nil
	}
	record, err := v.store.read(key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return known, err
	case known != nil && known.record.Version == record.Version:
		record = known.record
	}
	if known == nil {
		known = &file{}
	}
	return &file{stamp: known.next(info, now), record: record}, nil
}

// forget drops a directory that is gone, with all below it.
func (v *view) forget(key string) {
	for known, l := range v.dirs {
		if known == key || strings.HasPrefix(known, key+"/") {
			v.news = v.news || len(l.files) > 0
			delete(v.dirs, known)
		}
	}
}

// report logs what is wrong with a file once when it begins and once when it ends.
func (v *view) report(key string, err error) {
	was, odd := v.odd[key]
	switch {
	case err != nil && was != err.Error():
		v.odd[key] = err.Error()
		v.store.log.Error("a file of the certificate store cannot be used", "path", v.store.path(key), "err", err)
	case err == nil && odd:
		delete(v.odd, key)
		v.store.log.Info("a file of the certificate store is no longer in the way", "path", v.store.path(key))
	}
}

// records gives all that is known, sorted by key, and marks it as told.
func (v *view) records() []store.Record {
	v.news = false
	var records []store.Record
	for _, l := range v.dirs {
		records = slices.Grow(records, len(l.files))
		for _, f := range l.files {
			records = append(records, f.record)
		}
	}
	slices.SortFunc(records, func(a, b store.Record) int { return strings.Compare(a.Key, b.Key) })
	return records
}
