//go:build !race

package h2

// allocations are those of a small GET, its handler's and its client's included.
const allocations = 15
