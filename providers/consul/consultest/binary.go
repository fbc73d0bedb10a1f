package consultest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// recipe is the module that a Consul is built from, and built where that is kept; both in the repository.
const (
	recipe = "providers/consul/consultest/server"
	built  = ".cache/consul/consul"
)

// Binary gives the path of a Consul: CONSUL_BIN where that is set, else the consul on PATH, else the one that "make
// consul" builds into the repository. Where that is missing it builds it, which takes some eight minutes once; several
// test binaries that find it missing wait for one of them to do so.
func Binary(tb testing.TB) string {
	tb.Helper()
	if path := os.Getenv("CONSUL_BIN"); path != "" {
		return path
	}
	if path, err := exec.LookPath("consul"); err == nil {
		return path
	}
	root, err := repository()
	if err != nil {
		tb.Fatalf("find Consul: %v", err)
	}
	path := filepath.Join(root, filepath.FromSlash(built))
	if !exists(path) {
		tb.Logf("build Consul, which takes a while: there is none on PATH and none at %s", path)
		if err := build(root, path); err != nil {
			tb.Fatalf("build Consul: %v", err)
		}
	}
	return path
}

// repository finds the repository's root above the directory of the package that is being tested.
func repository() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if exists(filepath.Join(dir, filepath.FromSlash(recipe), "go.mod")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("none above %s has the folder %s", start, recipe)
		}
	}
}

// build builds Consul, unless another process has done so while this one waited for its turn.
func build(root, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if exists(path) {
		return nil
	}
	part := path + ".part" // so that one that is half written is never run
	command := exec.Command("go", "build", "-mod=mod", "-trimpath", "-ldflags", "-s -w", "-o", part,
		"github.com/hashicorp/consul")
	command.Dir = filepath.Join(root, filepath.FromSlash(recipe))
	// The settings of the build that this test belongs to are not for that one.
	command.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, output)
	}
	return os.Rename(part, path)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
