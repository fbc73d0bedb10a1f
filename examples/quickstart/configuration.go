package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

//go:embed tricot.yaml
var tricotYAML string

//go:embed services.yaml
var servicesYAML string

// rootCertificate is where the local authority puts it, below the directory of tricot.yaml.
const rootCertificate = "certs/local-root.pem"

// writeConfiguration puts both files into the directory, with the given ports in place of those that they name.
func writeConfiguration(directory string, ports ports) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	const address, port = "bind_addr: 127.0.0.1:%d", "port: %d\n"
	replace := strings.NewReplacer(
		fmt.Sprintf(address, defaultPorts.HTTP), fmt.Sprintf(address, ports.HTTP),
		fmt.Sprintf(address, defaultPorts.HTTPS), fmt.Sprintf(address, ports.HTTPS),
		fmt.Sprintf(address, defaultPorts.Admin), fmt.Sprintf(address, ports.Admin),
		fmt.Sprintf(port, defaultPorts.One), fmt.Sprintf(port, ports.One),
		fmt.Sprintf(port, defaultPorts.Two), fmt.Sprintf(port, ports.Two),
	)
	for name, text := range map[string]string{"tricot.yaml": tricotYAML, "services.yaml": servicesYAML} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(replace.Replace(text)), 0o644); err != nil {
			return err
		}
	}
	return nil
}
