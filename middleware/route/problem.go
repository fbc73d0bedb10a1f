package route

import "fmt"

// A Problem is a tag that is malformed. It is comparable: two that are equal are the same tag on the same instance with
// the same reason.
type Problem struct {
	// Service and ID name the instance that has the tag, Node says where it runs and may be empty.
	Service, ID, Node string
	Tag, Reason       string
}

func (p Problem) Error() string {
	where := "instance " + p.ID
	if p.Node != "" {
		where += " on node " + p.Node
	}
	return fmt.Sprintf("tag %q of service %s (%s): %s", p.Tag, p.Service, where, p.Reason)
}
