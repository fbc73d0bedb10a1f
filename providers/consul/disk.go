package consul

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/tricot-proxy/tricot/providers"
)

const (
	diskFormat  = "tricot consul snapshot"
	diskVersion = 1
	// diskEvery is the least time between two writes.
	diskEvery = time.Second
	// diskMax is the largest file that is read, in bytes.
	diskMax = 256 << 20
)

// A diskSnapshot is what is kept on disk: addresses and tags, and nothing that is secret.
type diskSnapshot struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Written time.Time `json:"written"`
	// Node is this Tricot's own, Site where Consul says that it is.
	Node      string         `json:"node"`
	Site      string         `json:"site"`
	Instances []diskInstance `json:"instances"`
}

type diskInstance struct {
	ID      string   `json:"id"`
	Service string   `json:"service"`
	Address string   `json:"address"`
	Port    int      `json:"port"`
	Node    string   `json:"node"`
	Site    string   `json:"site,omitempty"`
	Tags    []string `json:"tags"`
	Healthy bool     `json:"healthy"`
}

// A disk keeps the last snapshot in a file, without anybody having to wait for it.
type disk struct {
	path string
	log  *slog.Logger
	now  func() time.Time

	// next is the snapshot that is to be written, if one is.
	next   chan diskSnapshot
	broken bool // the last write failed
}

func newDisk(path string, log *slog.Logger, now func() time.Time) *disk {
	return &disk{path: path, log: log, now: now, next: make(chan diskSnapshot, 1)}
}

// keep has a snapshot written, in place of one that still waits. It is for one goroutine.
func (d *disk) keep(s diskSnapshot) {
	s.Format, s.Version, s.Written = diskFormat, diskVersion, d.now()
	select {
	case <-d.next:
	default:
	}
	d.next <- s
}

// run writes what is kept until ctx ends, and then what still waits.
func (d *disk) run(ctx context.Context) {
	for {
		select {
		case s := <-d.next:
			d.write(s)
		case <-ctx.Done():
			select {
			case s := <-d.next:
				d.write(s)
			default:
			}
			return
		}
		rest(ctx, diskEvery, nil)
	}
}

func (d *disk) write(s diskSnapshot) {
	err := writeWhole(d.path, s)
	switch {
	case err != nil && !d.broken:
		d.log.Warn("the snapshot of Consul's services cannot be kept on disk", "file", d.path, "error", err)
	case err == nil && d.broken:
		d.log.Info("the snapshot of Consul's services is kept on disk again", "file", d.path)
	}
	d.broken = err != nil
}

// load gives what is kept, or nil where there is nothing or nothing that is good.
func (d *disk) load() *diskSnapshot {
	s, err := readSnapshot(d.path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			d.log.Warn("the snapshot of Consul's services on disk is ignored", "file", d.path, "error", err)
		}
		return nil
	}
	return s
}

func readSnapshot(path string) (*diskSnapshot, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // a pipe would keep the start waiting
		return nil, errors.New("expected a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, diskMax+1))
	if err != nil {
		return nil, err
	}
	if len(content) > diskMax {
		return nil, fmt.Errorf("expected at most %d bytes", diskMax)
	}
	return parseSnapshot(content)
}

func parseSnapshot(content []byte) (*diskSnapshot, error) {
	// Whose file it is comes first: another version may have other types.
	var head struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(content, &head); err != nil {
		return nil, err
	}
	if head.Format != diskFormat {
		return nil, errors.New("it is no snapshot of Consul's services")
	}
	if head.Version != diskVersion {
		return nil, fmt.Errorf("expected version %d, found %d", diskVersion, head.Version)
	}
	var s diskSnapshot
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return nil, err
	}
	ids := make(map[string]bool, len(s.Instances))
	for _, i := range s.Instances {
		if i.ID == "" || ids[i.ID] || i.Service == "" || i.Address == "" || i.Port < 1 || i.Port > 65535 {
			return nil, fmt.Errorf("instance %q is incomplete, or there twice", i.ID)
		}
		ids[i.ID] = true
	}
	return &s, nil
}

// writeWhole puts a snapshot into place such that a reader, also one after a crash, finds the old one or the new one.
func writeWhole(path string, s diskSnapshot) (err error) {
	content, err := json.Marshal(s)
	if err != nil {
		return err
	}
	directory := filepath.Dir(path)
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
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
	return syncDirectory(directory)
}

// syncDirectory makes a rename last through a loss of power.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	err = directory.Sync()
	if closed := directory.Close(); err == nil {
		err = closed
	}
	return err
}

// instances gives what was kept as it was published.
func (s *diskSnapshot) instances() []providers.Instance {
	instances := make([]providers.Instance, len(s.Instances))
	for i, kept := range s.Instances {
		instances[i] = providers.Instance(kept)
	}
	return instances
}

// keepable gives what is published as it is kept.
func keepable(instances []providers.Instance) []diskInstance {
	kept := make([]diskInstance, len(instances))
	for i, instance := range instances {
		kept[i] = diskInstance(instance)
	}
	return kept
}
