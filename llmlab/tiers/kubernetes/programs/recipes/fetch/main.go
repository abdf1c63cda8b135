// Command fetch puts a model onto a volume: `fetch --sha256=HEX SOURCE TARGET`. SOURCE is a file, or an http address.
// It writes beside TARGET and renames only what has the right checksum, so a reader never sees half a model or a wrong
// one. Without --sha256 it takes what it gets. What is there already, and right, is left alone.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

func open(source string) (io.ReadCloser, error) {
	if !strings.HasPrefix(source, "http://") && !strings.HasPrefix(source, "https://") {
		return os.Open(source)
	}
	reply, err := http.Get(source)
	if err != nil {
		return nil, err
	}
	if reply.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", source, reply.Status)
	}
	return reply.Body, nil
}

func sum(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return ""
	}
	return hex.EncodeToString(hash.Sum(nil))
}

func fetch(source, target, want string) error {
	if want != "" && sum(target) == want {
		fmt.Printf("%s is there, sha256 %s\n", target, want)
		return nil
	}
	from, err := open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	part := target + ".part"
	into, err := os.Create(part)
	if err != nil {
		return err
	}
	defer os.Remove(part)
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(into, hash), from)
	if err != nil {
		return err
	}
	if err := into.Close(); err != nil {
		return err
	}
	got := hex.EncodeToString(hash.Sum(nil))
	if want != "" && got != want {
		return fmt.Errorf("%s has sha256 %s, not %s: not put in place", source, got, want)
	}
	if err := os.Chmod(part, 0o444); err != nil {
		return err
	}
	if err := os.Rename(part, target); err != nil {
		return err
	}
	fmt.Printf("%s: %d bytes, sha256 %s\n", target, size, got)
	return nil
}

func await(path, want string, within time.Duration) error {
	for end := time.Now().Add(within); ; time.Sleep(200 * time.Millisecond) {
		got := sum(path)
		if got != "" && (want == "" || got == want) {
			fmt.Printf("%s is there, sha256 %s\n", path, got)
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: after %s there is sha256 %q, not %s", path, within, got, want)
		}
	}
}

func main() {
	want := flag.String("sha256", "", "what the file must have")
	within := flag.Duration("wait", 0, "wait so long for FILE, and fetch nothing")
	flag.Parse()
	hex := strings.ToLower(*want)
	var err error
	switch {
	case *within > 0 && flag.NArg() == 1:
		err = await(flag.Arg(0), hex, *within)
	case *within == 0 && flag.NArg() == 2:
		err = fetch(flag.Arg(0), flag.Arg(1), hex)
	default:
		fmt.Fprintln(os.Stderr, "fetch [--sha256=HEX] SOURCE TARGET, or fetch --wait=60s [--sha256=HEX] FILE")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		os.Exit(1)
	}
}
