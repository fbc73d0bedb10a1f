package consultest

import (
	"errors"
	"math/rand/v2"
	"net"
)

// Ports are taken from below those that the kernel gives to outgoing connections (32768 and up on Linux, 49152 and up
// elsewhere). From among them, a client that dials an agent which is down could take the agent's port for its own end of
// a connection, and so keep it from coming back, or even reach itself.
const (
	lowest  = 15000
	highest = 32767
)

// ports are those of one agent.
type ports struct{ api, serf, rpc int }

// freePorts finds ports that nobody listened on a moment ago; somebody may by the time that they are used.
func freePorts() (ports, error) {
	var found [3]int
	var held []interface{ Close() error }
	defer func() {
		for _, h := range held {
			_ = h.Close()
		}
	}()
	for i := range found {
		for found[i] == 0 {
			if len(held) > 1000 {
				return ports{}, errors.New("find free ports: there are none")
			}
			port := lowest + rand.N(highest-lowest+1)
			stream, err := net.Listen("tcp", loopback(port))
			if err != nil {
				continue
			}
			held = append(held, stream)
			packets, err := net.ListenPacket("udp", loopback(port)) // which Serf has too
			if err != nil {
				continue
			}
			held = append(held, packets)
			found[i] = port
		}
	}
	return ports{api: found[0], serf: found[1], rpc: found[2]}, nil
}
