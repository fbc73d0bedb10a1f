package h2conformance

import (
	"testing"

	"golang.org/x/net/http2"
)

func TestHTTP2_EndsTheConnectionWhenAHeaderBlockCannotBeDecoded(t *testing.T) {
	runEach(t, compression())
}

// compression has the decoding errors of RFC 7541, all of which are connection errors (RFC 9113, section 4.3): the two
// sides no longer have the same table.
func compression() []section {
	const test = "\x00\x85\xf2\xb2\x4a\x84\xff" // a literal whose name is x-test and whose value follows
	refused := func(name, fragment string) example {
		return example{
			name: name, send: []frame{headers(1, endStream|endHeaders, fragment)},
			want: connectionError(http2.ErrCodeCompression),
		}
	}
	return []section{
		{"HPACK 2.3.3 Index address space", []example{
			refused("an indexed field beyond both tables", basic()+integer(0x80, 7, 70)),
			refused("a literal whose name is beyond both tables", basic()+integer(0x40, 6, 70)+text("")),
		}},
		{"HPACK 4.2 Maximum table size", []example{
			refused("a size update at the end of a block", basic()+"\x40"+text("x-test")+text("ok")+tableSize(1)),
			refused("a size update at the end of a block, with an empty table", basic()+tableSize(1)),
		}},
		{"HPACK 5.2 String literals", []example{
			refused("Huffman padding of more than 7 bits", basic()+test+"\x84\x49\x50\x9f\xff"),
			refused("Huffman padding of zeros", basic()+test+"\x83\x49\x50\x90"),
			refused("the Huffman code's end-of-string symbol", basic()+test+"\x87\x49\x51\xff\xff\xff\xfa\x7f"),
			refused("a string longer than its block", basic()+"\x00"+text("x-test")+integer(0, 7, 100)+"short"),
		}},
		{"HPACK 5.1 Integers", []example{
			refused("an integer beyond 64 bits", basic()+"\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
		}},
		{"HPACK 6.1 Indexed field", []example{
			refused("index 0", basic()+"\x80"),
		}},
		{"HPACK 6.3 Size update", []example{
			{
				name: "beyond SETTINGS_HEADER_TABLE_SIZE",
				do: func(c *conn) {
					limit, given := c.settings[http2.SettingHeaderTableSize]
					if !given {
						limit = 4096
					}
					c.send(headers(1, endStream|endHeaders, tableSize(int(limit)+1)+basic()))
				},
				want: connectionError(http2.ErrCodeCompression),
			},
		}},
	}
}
