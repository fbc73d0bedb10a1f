// Tricot with one more stage. Everything else - commands, flags, settings, the other stages - is as in cmd/tricot.
package main

import (
	"github.com/tricot-proxy/tricot/cmd"
	"github.com/tricot-proxy/tricot/examples/custom-stage/maintenance"
)

func main() {
	options := maintenance.Defaults()
	cmd.Main(cmd.Stage{
		Name: maintenance.Name, Needs: []string{maintenance.Needs}, After: "route",
		Config: &options, New: options.Stage,
	})
}
