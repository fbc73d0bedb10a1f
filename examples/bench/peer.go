//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
)

// host is the name that requests ask for.
const host = "bench.localhost"

// A peer is a proxy and how it is run. In its files and arguments @DIR@ is the directory of the files, @BACKEND@ the
// backend's address, @BACKEND_PORT@ its port, @PORT@ where it listens, @HOST@ the name.
type peer struct {
	name, version string
	program, path string
	arguments     []string
	files         map[string]string
}

// find gives the path of a program that is installed, empty where it is not. Servers are often where only root looks.
func find(program string) string {
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	home, _ := os.UserHomeDir()
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", filepath.Join(home, "go", "bin")} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path
		}
	}
	return ""
}

// known are the proxies in the order of the table. All do the same: TLS with one P-256 certificate, HTTP/1.1 and HTTP/2
// to the client, kept connections to the backend, gzip for the types of the scenarios, no access log.
func known() []peer {
	return []peer{
		{name: "haproxy", version: "HAProxy", program: "haproxy",
			arguments: []string{"-db", "-f", "@DIR@/haproxy.cfg"},
			files: map[string]string{"haproxy.cfg": `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 1m
  timeout server 1m
  option forwardfor
  http-reuse always
frontend public
  bind 127.0.0.1:@PORT@ ssl crt @DIR@/both.pem alpn h2,http/1.1
  http-request set-header X-Forwarded-Proto https
  use_backend bench if { hdr(host) -m beg @HOST@ }
backend bench
  compression algo gzip
  compression type text/html text/plain
  server one @BACKEND@
`}},
		{name: "nginx", version: "nginx", program: "nginx",
			arguments: []string{"-p", "@DIR@", "-c", "@DIR@/nginx.conf", "-e", "@DIR@/nginx.err"},
			files: map[string]string{"nginx.conf": `daemon off;
worker_processes 1;
pid @DIR@/nginx.pid;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path @DIR@/body; proxy_temp_path @DIR@/proxy;
  fastcgi_temp_path @DIR@/fastcgi; uwsgi_temp_path @DIR@/uwsgi; scgi_temp_path @DIR@/scgi;
  gzip on; gzip_types text/html text/plain; gzip_proxied any;
  keepalive_requests 100000000;
  upstream bench { server @BACKEND@; keepalive 256; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:@PORT@ ssl http2;
    server_name @HOST@;
    ssl_certificate @DIR@/certificate.pem; ssl_certificate_key @DIR@/key.pem; ssl_session_cache shared:sessions:10m;
    client_max_body_size 0;
    location / {
      proxy_pass http://bench; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto https;
    }
  }
}
`}},
		{name: "caddy", version: "Caddy", program: "caddy",
			arguments: []string{"run", "--adapter", "caddyfile", "--config", "@DIR@/Caddyfile"},
			files: map[string]string{"Caddyfile": `{
	admin off
	auto_https off
	servers {
		protocols h1 h2
	}
}
https://@HOST@:@PORT@ {
	bind 127.0.0.1
	tls @DIR@/certificate.pem @DIR@/key.pem
	encode gzip
	reverse_proxy @BACKEND@
}
`}},
		{name: "traefik", version: "Traefik", program: "traefik",
			arguments: []string{"--configFile=@DIR@/traefik.yaml"},
			files: map[string]string{"traefik.yaml": `entryPoints: {public: {address: "127.0.0.1:@PORT@"}}
providers: {file: {filename: "@DIR@/traefik-routes.yaml"}}
global: {checkNewVersion: false, sendAnonymousUsage: false}
log: {level: ERROR}
`, "traefik-routes.yaml": "http:\n  routers: {bench: {rule: \"Host(`@HOST@`)\", entryPoints: [public], service: bench, tls: {}, middlewares: [compress]}}\n" +
				`  middlewares: {compress: {compress: {}}}
  services: {bench: {loadBalancer: {servers: [{url: "http://@BACKEND@"}]}}}
tls: {certificates: [{certFile: "@DIR@/certificate.pem", keyFile: "@DIR@/key.pem"}]}
`}},
		{name: "tricot", version: "Tricot",
			arguments: []string{"run", "--config", "@DIR@/tricot.yaml"},
			files: map[string]string{"tricot.yaml": `providers: [file]
file: {path: "@DIR@/services.yaml"}
http: {bind_addr: ""}
https: {bind_addr: "127.0.0.1:@PORT@"}
admin: {bind_addr: ""}
certs: {issuer: local, store: dir, dir: "@DIR@/certs"}
middleware:
  compress: {enabled: true}
  access_log: {enabled: false}
  redirect: {enabled: false}
log: {level: warn}
`, "services.yaml": `services:
  - {name: bench, address: 127.0.0.1, port: @BACKEND_PORT@, tags: ["tricot @HOST@"]}
`}},
	}
}
