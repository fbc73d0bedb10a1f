package hpack

import (
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"
	reference "golang.org/x/net/http2/hpack"
)

// wantField is what a decoder says of a field line, found out in a plain way.
func wantField(name, value string, sensitive bool) Field {
	field := Field{Name: name, Value: value, Sensitive: sensitive}
	token := strings.TrimPrefix(name, ":")
	named := httpguts.ValidHeaderFieldName(token) && token == strings.ToLower(token)
	if named && token == name {
		field.Canonical = textproto.CanonicalMIMEHeaderKey(name)
	}
	field.Valid = named && httpguts.ValidHeaderFieldValue(value) && value == strings.Trim(value, " \t")
	return field
}

// decodeAll reads a block to its end. The fields are copies.
func decodeAll(d *Decoder, block []byte) (fields []Field, err error) {
	d.Reset(block)
	for field, more := d.Next(); more; field, more = d.Next() {
		fields = append(fields, *field)
	}
	return fields, d.Err()
}

// A referenceDecoder is golang.org/x/net's.
type referenceDecoder struct {
	*reference.Decoder
	fields []Field
}

func newReferenceDecoder(tableSize uint32) *referenceDecoder {
	d := new(referenceDecoder)
	d.Decoder = reference.NewDecoder(defaultTableSize, func(f reference.HeaderField) {
		d.fields = append(d.fields, wantField(f.Name, f.Value, f.Sensitive))
	})
	d.SetAllowedMaxDynamicTableSize(tableSize)
	return d
}

func (d *referenceDecoder) decodeAll(block []byte) ([]Field, error) {
	d.fields = nil
	_, err := d.Write(block)
	if err == nil {
		err = d.Close()
	}
	return d.fields, err
}

// requireSame reads blocks with both decoders, up to the first one that is refused. There are three differences:
//
//   - a change of the table's size that is not the block's first is taken by the reference while its table is empty,
//     wherever it stands, and never by ours behind a field line (RFC 7541, section 4.2);
//   - it is refused by the reference while its table is not empty, even at the block's start, and taken there by ours,
//     since an encoder whose table became smaller and larger again writes two;
//   - an integer of more than five bytes behind its prefix is refused by ours; the reference takes it if they are zeros.
func requireSame(t *testing.T, tableSize int, blocks ...[]byte) {
	ours, theirs := NewDecoder(tableSize), newReferenceDecoder(uint32(tableSize))
	for _, block := range blocks {
		given := slices.Clone(block)
		got, err := decodeAll(ours, block)
		require.Equal(t, given, block, "a decoder only reads")
		want, wantErr := theirs.decodeAll(block)
		if err != nil {
			reason := err.(*DecodingError).Reason
			if reason == reasonLateUpdate || reason == reasonOverflow {
				return
			}
		}
		if wantErr != nil && strings.Contains(wantErr.Error(), "MUST occur at the beginning") {
			return
		}
		require.Equal(t, wantErr == nil, err == nil, "%x: the reference says %v, ours %v", block, wantErr, err)
		require.Equal(t, want, got, "%x", block)
		if err != nil {
			return
		}
	}
}

// requireSameTables tells whether a decoder's table is what the encoder takes it for.
func requireSameTables(t *testing.T, e *Encoder, d *Decoder) {
	require.Equal(t, e.table.size, d.table.size)
	require.Equal(t, e.table.max, d.table.max)
	require.Equal(t, e.table.count, d.table.count)
	for age := range e.table.count {
		sent, received := e.table.at(age), d.table.at(age)
		require.Equal(t, [2]string{sent.name, sent.value}, [2]string{received.Name, received.Value})
	}
}
