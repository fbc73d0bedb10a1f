package cmd

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version says what this binary was built from: the module's version, or the commit as the Go tool stamped it.
func version() string {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return fmt.Sprintf("tricot %s %s %s/%s", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
