package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tricot-proxy/tricot/pipeline"
)

// A kind is a type that settings can have.
type kind struct {
	name string // as --help shows it
	list bool
	// set puts a value into a field; the error says what was expected. The field stays as it is where there is one.
	set func(field reflect.Value, value *given) error
	// give makes a value of what a field holds. Kinds that only the built-in settings have do without.
	give func(field reflect.Value) *given
}

// kindOf gives the kind of a type, nil where no setting can be of it.
func kindOf(t reflect.Type) *kind {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return &kind{name: "duration", set: scalar(duration), give: giveDuration}
	case reflect.TypeFor[slog.Level]():
		return &kind{name: "level", set: scalar(level)}
	case reflect.TypeFor[[]netip.Prefix]():
		return &kind{name: "list", list: true, set: setPrefixes}
	case reflect.TypeFor[[]string]():
		return &kind{name: "list", list: true, set: setStrings, give: giveStrings}
	}
	switch t.Kind() {
	case reflect.String:
		return &kind{name: "string", set: setString, give: giveScalar}
	case reflect.Bool:
		return &kind{name: "bool", set: scalar(boolean), give: giveScalar}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &kind{name: "int", set: setInt, give: giveScalar}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &kind{name: "uint", set: setUint, give: giveScalar}
	case reflect.Float32, reflect.Float64:
		return &kind{name: "float", set: setFloat, give: giveScalar}
	}
	return nil
}

// parse makes a value of the text of a flag, a variable or a default: the items of a list are separated by commas.
func (k *kind) parse(text string) *given {
	if k.list {
		return &given{items: words(text), list: true}
	}
	return &given{text: text}
}

// measured says whether values are more or less than each other.
func (k *kind) measured() bool {
	return slices.Contains([]string{"int", "uint", "float", "duration"}, k.name)
}

func giveDuration(field reflect.Value) *given {
	return &given{text: time.Duration(field.Int()).String()}
}

func giveStrings(field reflect.Value) *given {
	return &given{items: slices.Clone(field.Interface().([]string)), list: true}
}

// giveScalar leaves methods of the field's type out of account: what set reads is the plain value.
func giveScalar(field reflect.Value) *given {
	switch {
	case field.CanInt():
		return &given{text: strconv.FormatInt(field.Int(), 10)}
	case field.CanUint():
		return &given{text: strconv.FormatUint(field.Uint(), 10)}
	case field.CanFloat():
		return &given{text: strconv.FormatFloat(field.Float(), 'g', -1, field.Type().Bits())}
	case field.Kind() == reflect.Bool:
		return &given{text: strconv.FormatBool(field.Bool())}
	}
	return &given{text: field.String()}
}

// scalar makes a set of a function that parses one value.
func scalar[T any](parse func(string) (T, error)) func(reflect.Value, *given) error {
	return func(field reflect.Value, value *given) error {
		if value.list {
			return errors.New("one value is expected, not a list")
		}
		parsed, err := parse(strings.TrimSpace(value.text))
		if err != nil {
			return err
		}
		field.Set(reflect.ValueOf(parsed).Convert(field.Type()))
		return nil
	}
}

func setString(field reflect.Value, value *given) error {
	if value.list {
		return errors.New("one value is expected, not a list")
	}
	field.SetString(value.text)
	return nil
}

func setStrings(field reflect.Value, value *given) error {
	field.Set(reflect.ValueOf(slices.Clone(value.items)))
	return nil
}

func boolean(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, errors.New("true or false is expected")
}

func duration(text string) (time.Duration, error) {
	parsed, err := time.ParseDuration(text)
	if err != nil {
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return 0, fmt.Errorf("a duration needs a unit, such as %ss", text)
		}
		return 0, errors.New("a duration is expected, such as 10s, 1m30s or 500ms")
	}
	return parsed, nil
}

func level(text string) (slog.Level, error) {
	switch strings.ToLower(text) {
	case "error":
		return slog.LevelError, nil
	case "warn":
		return slog.LevelWarn, nil
	case "info":
		return slog.LevelInfo, nil
	case "debug":
		return slog.LevelDebug, nil
	case "trace":
		return pipeline.LevelTrace, nil
	}
	return 0, errors.New("one of error, warn, info, debug, trace is expected")
}

func setInt(field reflect.Value, value *given) error {
	return scalar(func(text string) (int64, error) {
		parsed, err := strconv.ParseInt(text, 10, field.Type().Bits())
		if errors.Is(err, strconv.ErrRange) {
			return 0, errors.New("the number is too large")
		}
		if err != nil {
			return 0, errors.New("a whole number is expected")
		}
		return parsed, nil
	})(field, value)
}

func setUint(field reflect.Value, value *given) error {
	return scalar(func(text string) (uint64, error) {
		parsed, err := strconv.ParseUint(text, 10, field.Type().Bits())
		if errors.Is(err, strconv.ErrRange) {
			return 0, errors.New("the number is too large")
		}
		if err != nil {
			return 0, errors.New("a whole number is expected, 0 or more")
		}
		return parsed, nil
	})(field, value)
}

func setFloat(field reflect.Value, value *given) error {
	return scalar(func(text string) (float64, error) {
		parsed, err := strconv.ParseFloat(text, field.Type().Bits())
		if err != nil || math.IsNaN(parsed) || math.IsInf(parsed, 0) {
			return 0, errors.New("a number is expected")
		}
		return parsed, nil
	})(field, value)
}

func setPrefixes(field reflect.Value, value *given) error {
	var prefixes []netip.Prefix
	for _, item := range value.items {
		parsed, err := prefix(item)
		if err != nil {
			return err
		}
		prefixes = append(prefixes, parsed)
	}
	field.Set(reflect.ValueOf(prefixes))
	return nil
}

// prefix parses a CIDR or a single address. One that is IPv4-mapped becomes the IPv4 one that peers are compared with.
func prefix(text string) (netip.Prefix, error) {
	parsed, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is neither a CIDR, such as 10.0.0.0/8, nor an IP address", text)
		}
		parsed = netip.PrefixFrom(addr, addr.BitLen())
	}
	if addr, bits := parsed.Addr(), parsed.Bits(); addr.Is4In6() && bits >= 96 {
		parsed = netip.PrefixFrom(addr.Unmap(), bits-96)
	}
	return parsed.Masked(), nil
}
