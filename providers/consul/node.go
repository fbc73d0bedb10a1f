package consul

import (
	"github.com/hashicorp/consul/api"
)

// askNode starts the query for this Tricot's own node. Of the endpoints that tell the metadata of a node it is the one
// that wakes for this node alone; the filter leaves its services out, which may be many.
func (c *catalog) askNode() {
	start(c.ctx, c, question[*api.CatalogNode]{
		name: "node " + c.options.Node,
		ask: func(o *api.QueryOptions) (*api.CatalogNode, *api.QueryMeta, error) {
			o.Filter = `ID == ""`
			return c.options.Client.Catalog().Node(c.options.Node, o)
		},
		check: func(n *api.CatalogNode, _ *api.QueryMeta) error {
			if n != nil && n.Node == nil {
				return errNonsense
			}
			return nil
		},
		empty: unknown,
		bare:  unknown,
		tell:  c.locate,
	})
}

func unknown(n *api.CatalogNode) bool { return n == nil }

// locate is told this Tricot's own node, nil where Consul does not know it.
func (c *catalog) locate(n *api.CatalogNode) {
	var site string
	if n != nil {
		site = n.Node.Meta[siteKey]
	}
	if c.located && c.site == site {
		return
	}
	switch {
	case n == nil:
		c.options.Log.Warn("this Tricot's node is not in Consul: its site is not known", "node", c.options.Node)
	case site == "":
		c.options.Log.Info("this Tricot's node has no metadata site in Consul: its site is not known", "node", c.options.Node)
	default:
		c.options.Log.Info("this Tricot's site, by its node in Consul", "site", site, "node", c.options.Node)
	}
	if !c.located {
		c.located = true
		c.changed() // the first snapshot waited for it
	}
	if c.move(site) && c.answered {
		c.keep()
	}
}

// recall takes the site from the disk, while Consul has not told it.
func (c *catalog) recall() {
	if c.kept != nil && c.kept.Node == c.options.Node && c.options.Site == "" {
		c.move(c.kept.Site)
	}
}

// move tells the site, where it is another one.
func (c *catalog) move(site string) bool {
	if c.site == site {
		return false
	}
	c.site = site
	c.options.Located(site)
	return true
}
