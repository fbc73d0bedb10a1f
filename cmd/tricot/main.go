// Tricot is a reverse proxy that exposes the services of a cluster to the internet over HTTPS.
package main

import "github.com/tricot-proxy/tricot/cmd"

func main() { cmd.Main() }
