// A real Consul for tests: "make consul" at the top, or go build -mod=mod github.com/hashicorp/consul here. Later versions
// than this one need modules that are not published. What is excluded keeps versions out that the build would choose.
module github.com/tricot-proxy/tricot/providers/consul/consultest/server

go 1.26

require github.com/hashicorp/consul v1.19.2

exclude github.com/hashicorp/go-msgpack v1.1.5

exclude github.com/hashicorp/go-msgpack v1.1.6
