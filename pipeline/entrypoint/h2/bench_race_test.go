//go:build race

package h2

// allocations are more under the race detector: it has pools lose a part of what is put into them.
const allocations = 30
