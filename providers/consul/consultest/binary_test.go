package consultest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBinary_IsTheOneOfTheEnvironmentThenThatOnPATHThenThatOfTheRepository(t *testing.T) {
	root, _ := repositoryOf(t)
	t.Setenv("CONSUL_BIN", "/a/consul")
	assert.Equal(t, "/a/consul", Binary(t))

	t.Setenv("CONSUL_BIN", "")
	onPath := filepath.Join(t.TempDir(), "consul")
	require.NoError(t, os.WriteFile(onPath, nil, 0o700))
	t.Setenv("PATH", filepath.Dir(onPath))
	assert.Equal(t, onPath, Binary(t))

	t.Setenv("PATH", "")
	ours := filepath.Join(root, built)
	require.NoError(t, os.MkdirAll(filepath.Dir(ours), 0o700))
	require.NoError(t, os.WriteFile(ours, nil, 0o700))
	t.Chdir(filepath.Join(root, recipe))
	assert.Equal(t, ours, Binary(t))
}

// The real build takes eight minutes; here a small program stands in for the source of Consul.
func TestBuild_BuildsOnceForAllWhoWait(t *testing.T) {
	root, runs := repositoryOf(t)
	path := filepath.Join(root, built)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { assert.NoError(t, build(root, path)) })
	}
	all.Wait()
	assert.FileExists(t, path)
	assert.NoFileExists(t, path+".part")
	count, err := os.ReadFile(runs)
	require.NoError(t, err)
	assert.Equal(t, "once\n", string(count))
}

func TestBuild_SaysWhatTheCompilerSaidAndLeavesNothing(t *testing.T) {
	root, _ := repositoryOf(t)
	require.NoError(t, os.WriteFile(filepath.Join(root, recipe, "main.go"), []byte("package main\nbroken"), 0o600))
	path := filepath.Join(root, built)
	err := build(root, path)
	require.ErrorContains(t, err, "syntax error")
	assert.NoFileExists(t, path)
}

// repositoryOf gives a repository with a recipe for something small, and the file that has a line for each run of the
// compiler.
func repositoryOf(t *testing.T) (root, runs string) {
	t.Helper()
	compiler, err := exec.LookPath("go")
	require.NoError(t, err)
	root, err = filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	runs = filepath.Join(root, "runs")
	dir := filepath.Join(root, recipe)
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module github.com/hashicorp/consul\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\nfunc main() {}\n"), 0o600))
	script := fmt.Sprintf("#!/bin/sh\necho once >>'%s'\nexec '%s' \"$@\"\n", runs, compiler)
	require.NoError(t, os.WriteFile(filepath.Join(root, "go"), []byte(script), 0o700))
	t.Setenv("PATH", root+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return root, runs
}
