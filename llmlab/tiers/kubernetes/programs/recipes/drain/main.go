// Command drain is a preStop hook: it ends when llama-server on this pod's loopback has nothing to do any more. Only then does
// the kubelet send SIGTERM, on which llama-server forgets what it is doing.
//
// It waits for --least first: the pod is already on its way out, but every node's kube-proxy has still to hear of it, and until
// then sends new requests. Then it looks until two looks in a row find no request processed or waiting.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// busy counts the requests that are processed or wait for a slot.
func busy(url string) (float64, error) {
	client := http.Client{Timeout: 2 * time.Second}
	reply, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s (started with --metrics?)", url, reply.Status)
	}
	sum, seen := 0.0, 0
	for lines := bufio.NewScanner(reply.Body); lines.Scan(); {
		for _, name := range []string{"llamacpp:requests_processing ", "llamacpp:requests_deferred "} {
			if value, found := strings.CutPrefix(lines.Text(), name); found {
				number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
				if err != nil {
					return 0, err
				}
				sum, seen = sum+number, seen+1
			}
		}
	}
	if seen < 2 {
		return 0, fmt.Errorf("%s does not say how many requests there are", url)
	}
	return sum, nil
}

func main() {
	least := flag.Duration("least", 2*time.Second, "wait at least so long: new requests still come")
	within := flag.Duration("within", time.Hour, "give up then")
	url := flag.String("url", "http://127.0.0.1:8080/metrics", "where llama-server's metrics are")
	flag.Parse()
	end := time.Now().Add(*within)
	time.Sleep(*least)
	for idle := 0; idle < 2; time.Sleep(200 * time.Millisecond) {
		count, err := busy(*url)
		switch {
		case err != nil && time.Now().After(end), err == nil && count > 0 && time.Now().After(end):
			fmt.Fprintf(os.Stderr, "drain: after %s: %.0f requests, %v\n", *within, count, err)
			os.Exit(1)
		case err != nil:
			idle = 0
			// Nobody will answer again: a server that has ended has no requests.
			if strings.Contains(err.Error(), "connection refused") {
				return
			}
		case count > 0:
			idle = 0
		default:
			idle++
		}
	}
}
