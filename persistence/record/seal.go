package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/klauspost/compress/zstd"
)

// Format is the version of all records that this program writes, and the
// newest that it reads.
const Format = 1

// What Open refuses. A reader treats each of them as an alarm, never as
// silence that proves something.
var (
	// ErrTorn: empty, cut off, or not what its checksum says.
	ErrTorn = errors.New("torn record")
	// ErrForeign: a whole record of another kind, node or cluster.
	ErrForeign = errors.New("foreign record")
	// ErrNewer: written by a newer version of this program.
	ErrNewer = errors.New("record of a newer format")
)

// compressFrom is the size in bytes from which a sealed body is compressed:
// what is smaller stays readable with cat.
const compressFrom = 8 << 10

// maxBody bounds what a compressed record may unfold to, in bytes.
const maxBody = 256 << 20

// head is the first line of a record. Body stands there unless the record is
// compressed; then Packed is the length of the zstd bytes that follow the line.
type head struct {
	Format int             `json:"format"`
	Kind   string          `json:"kind"`
	Sum    string          `json:"sum"`
	Body   json.RawMessage `json:"body,omitempty"`
	Packed int             `json:"packed,omitempty"`
}

// end closes a compressed record, so that no padding can be taken for payload.
const end = '.'

var (
	packer, _   = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	unpacker, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBody))
)

// Seal makes a record of the kind: JSON with its format, its kind and a
// SHA-256 of the body; large bodies are compressed.
func Seal(kind string, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", kind, err)
	}
	h := head{Format: Format, Kind: kind, Sum: sum(body)}
	var packed []byte
	if len(body) < compressFrom {
		h.Body = body
	} else {
		packed = packer.EncodeAll(body, nil)
		h.Packed = len(packed)
	}
	out, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", kind, err)
	}
	if h.Packed > 0 {
		out = append(out, '\n')
		out = append(out, packed...)
		out = append(out, end)
	}
	return out, nil
}

// Open reads a record of the kind into v, or says by ErrTorn, ErrForeign or
// ErrNewer why it cannot.
func Open(kind string, data []byte, v any) error {
	line, rest, _ := bytes.Cut(data, []byte{'\n'})
	var h head
	if err := json.Unmarshal(line, &h); err != nil {
		if len(bytes.TrimSpace(data)) == 0 {
			return fmt.Errorf("%w: it is empty", ErrTorn)
		}
		return fmt.Errorf("%w: %w", ErrTorn, err)
	}
	switch {
	case h.Format > Format:
		return fmt.Errorf("%w: format %s, this program reads up to %d", ErrNewer, strconv.Itoa(h.Format), Format)
	case h.Format < 1 || h.Kind == "":
		return fmt.Errorf("%w: no record of this program", ErrForeign)
	case h.Kind != kind:
		return fmt.Errorf("%w: a record of kind %q where %q belongs", ErrForeign, h.Kind, kind)
	}
	body := []byte(h.Body)
	if h.Packed > 0 {
		if len(rest) != h.Packed+1 || rest[h.Packed] != end {
			return fmt.Errorf("%w: cut off", ErrTorn)
		}
		var err error
		if body, err = unpacker.DecodeAll(rest[:h.Packed], nil); err != nil {
			return fmt.Errorf("%w: %w", ErrTorn, err)
		}
	}
	if sum(body) != h.Sum {
		return fmt.Errorf("%w: its checksum does not match", ErrTorn)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return nil
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// Hash names a sealed record by its bytes: the ledger's chain is made of it.
func Hash(sealed []byte) string { return sum(sealed) }
