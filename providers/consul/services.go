package consul

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/tricot-proxy/tricot/providers"
)

// A service is one that has a tag for Tricot.
type service struct {
	stop      context.CancelFunc // ends its query
	answered  bool
	instances []providers.Instance
	// useless are the instances that were reported and left out, by id.
	useless map[string]error
}

// askServices starts the query for the list of services.
func (c *catalog) askServices() {
	start(c.ctx, c, question[map[string][]string]{
		name: "services",
		ask:  c.options.Client.Catalog().Services,
		check: func(services map[string][]string, meta *api.QueryMeta) error {
			switch {
			case services == nil:
				return errNonsense
			// Whoever shows no token is not told that something was left out. But Consul itself is a service too.
			case len(services) == 0 && meta.DefaultACLPolicy == "deny":
				return errFiltered
			}
			return nil
		},
		bare: func(services map[string][]string) bool { return len(services) == 0 },
		empty: func(services map[string][]string) bool {
			for _, tags := range services {
				if tagged(tags) {
					return false
				}
			}
			return true
		},
		tell: c.list,
	})
}

// list is told which services there are, with their tags.
func (c *catalog) list(services map[string][]string) {
	kept := map[string][]providers.Instance{}
	if !c.listed {
		c.listed, c.began = true, time.Now()
		c.changed() // that there are none is news too
		if c.kept != nil {
			for _, i := range c.kept.instances() {
				kept[i.Service] = append(kept[i.Service], i)
			}
		}
	}
	for name, s := range c.services {
		if tagged(services[name]) {
			continue
		}
		s.stop()
		delete(c.services, name)
		if len(s.instances) > 0 {
			c.changed()
		}
	}
	for name, tags := range services {
		if c.services[name] == nil && tagged(tags) {
			ctx, stop := context.WithCancel(c.ctx)
			s := &service{stop: stop, instances: kept[name]}
			c.services[name] = s
			c.askHealth(ctx, name, s)
		}
	}
}

// askHealth starts the query for the instances of a service.
func (c *catalog) askHealth(ctx context.Context, name string, s *service) {
	start(ctx, c, question[[]*api.ServiceEntry]{
		name: "health of service " + name,
		ask: func(o *api.QueryOptions) ([]*api.ServiceEntry, *api.QueryMeta, error) {
			return c.options.Client.Health().Service(name, "", false, o)
		},
		check: checkEntries,
		empty: none,
		bare:  none,
		tell: func(entries []*api.ServiceEntry) {
			if c.services[name] == s { // else it has lost its tags meanwhile
				c.health(s, entries)
			}
		},
	})
}

// health is told all instances of a service.
func (c *catalog) health(s *service, entries []*api.ServiceEntry) {
	var instances []providers.Instance
	useless := map[string]error{}
	for _, entry := range entries {
		if !ours(entry) {
			continue
		}
		i, err := instance(entry)
		if err == nil {
			instances = append(instances, i)
			continue
		}
		if useless[i.ID] = err; s.useless[i.ID] != err {
			c.options.Log.Warn("an instance in Consul cannot be served and is left out", "service", i.Service,
				"instance", i.ID, "node", i.Node, "reason", err)
		}
	}
	s.useless = useless
	slices.SortFunc(instances, compareInstances)
	if !s.answered || !sameInstances(s.instances, instances) {
		s.answered, s.instances = true, instances
		c.changed()
	}
}

func none(entries []*api.ServiceEntry) bool { return len(entries) == 0 }
