package consul

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/tricot-proxy/tricot/providers"
)

// siteKey is the metadata of a node that says where it is.
const siteKey = "site"

var (
	errNoPort    = errors.New("expected a port from 1 to 65535")
	errNoAddress = errors.New("expected an address of the service or its node")
	errNonsense  = errors.New("the answer is not what Consul's API promises")
)

// instance is what an entry of Consul says. The error says why it can be no backend; the rest is set all the same.
func instance(e *api.ServiceEntry) (providers.Instance, error) {
	i := providers.Instance{
		ID:      url.PathEscape(e.Node.Node) + "/" + e.Service.ID, // escaped, for a name may have a "/"
		Service: e.Service.Service,
		Address: address(e),
		Port:    e.Service.Port,
		Node:    e.Node.Node,
		Site:    e.Node.Meta[siteKey],
		Tags:    e.Service.Tags,
		Healthy: !slices.ContainsFunc(e.Checks, func(c *api.HealthCheck) bool { return c.Status != api.HealthPassing }),
	}
	switch {
	case i.Port < 1 || i.Port > 65535:
		return i, errNoPort
	case i.Address == "":
		return i, errNoAddress
	}
	return i, nil
}

// address is that of the service, else that of its node, an IPv6 one without the brackets that some write.
func address(e *api.ServiceEntry) string {
	address := e.Service.Address
	if address == "" {
		address = e.Node.Address
	}
	if inner, ok := strings.CutPrefix(address, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			return inner
		}
	}
	return address
}

// ours says whether an entry is one that Tricot is to serve. Where only some instances of a service have a tag, the others
// are none of its business; and a sidecar proxy has the tags of the instance that it stands beside.
func ours(e *api.ServiceEntry) bool {
	return e.Service.Kind != api.ServiceKindConnectProxy && tagged(e.Service.Tags)
}

// checkEntries refuses an answer that Consul would not give.
func checkEntries(entries []*api.ServiceEntry, _ *api.QueryMeta) error {
	incomplete := func(e *api.ServiceEntry) bool {
		return e == nil || e.Node == nil || e.Node.Node == "" || e.Service == nil || e.Service.ID == "" ||
			slices.Contains(e.Checks, nil)
	}
	if entries == nil || slices.ContainsFunc(entries, incomplete) {
		return errNonsense
	}
	return nil
}

// sameInstances compares what is published.
func sameInstances(a, b []providers.Instance) bool { return slices.EqualFunc(a, b, sameInstance) }

func sameInstance(a, b providers.Instance) bool {
	return a.ID == b.ID && a.Service == b.Service && a.Address == b.Address && a.Port == b.Port && a.Node == b.Node &&
		a.Site == b.Site && a.Healthy == b.Healthy && slices.Equal(a.Tags, b.Tags)
}

// compareInstances orders those of one service, so that what is published does not depend on the order of the answer.
func compareInstances(a, b providers.Instance) int {
	if c := strings.Compare(a.Node, b.Node); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}
