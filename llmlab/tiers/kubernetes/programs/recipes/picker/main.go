// Command picker chooses the replica for each request: Envoy asks it (ext_proc) before it connects, and sends the request to the
// address that the picker writes into a header.
//
// Two things count, in this order: a replica that has a slot free, and the longest beginning of the request that it has been sent
// before, for that is what its cache still knows. llama-server says the first itself (/slots); the second the picker remembers, as
// the endpoint picker of the Gateway API inference extension does: it keeps the hashes of each request's blocks and who got them.
//
// What is hashed is the whole JSON body, so requests have to name their fields in one order. Two requests that come at the same moment
// may be given the same free slot: it was free when both were decided.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"log"
	"net"
	"net/http"
	"sort"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	ext "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
)

var (
	service = flag.String("service", "", "a headless Service whose addresses are the replicas, as name.namespace.svc")
	port    = flag.String("port", "8080", "of the replicas")
	header  = flag.String("header", "x-replica", "into which the chosen address is written")
	block   = flag.Int("block", 256, "bytes of a prompt that are remembered together")
	listen  = flag.String("listen", ":9002", "where Envoy asks")
)

// memory is who was sent which beginning (the hash of a request's first n blocks, the replicas' addresses), and when each replica was
// chosen last, counted in requests. It is never emptied: a lab sends some thousand blocks.
var memory = struct {
	sync.Mutex
	sent   map[uint64]map[string]bool
	chosen map[string]int
	count  int
}{sent: map[uint64]map[string]bool{}, chosen: map[string]int{}}

// beginnings gives one hash for each whole block of a prompt, each over everything before it too.
func beginnings(prompt []byte) (hashes []uint64) {
	sum := fnv.New64a()
	for ; len(prompt) >= *block; prompt = prompt[*block:] {
		sum.Write(prompt[:*block])
		hashes = append(hashes, sum.Sum64())
	}
	return hashes
}

// free counts a replica's idle slots; a replica that does not say has none.
func free(address string) (count int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/slots", nil)
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer reply.Body.Close()
	var slots []struct {
		Processing bool `json:"is_processing"`
	}
	if json.NewDecoder(reply.Body).Decode(&slots) != nil {
		return 0
	}
	for _, slot := range slots {
		if !slot.Processing {
			count++
		}
	}
	return count
}

// replicas gives their addresses; they are asked for each time, since pods come and go.
func replicas() (addresses []string, err error) {
	hosts, err := net.LookupHost(*service)
	for _, host := range hosts {
		addresses = append(addresses, net.JoinHostPort(host, *port))
	}
	sort.Strings(addresses)
	return addresses, err
}

// replica is what is known of one when a request comes.
type replica struct {
	address string
	idle    int // slots
	known   int // blocks of this prompt, from its beginning, that it was sent before
	chosen  int // when it was chosen last
}

// better says whether a is the better choice: a free slot first, then what it knows, then how idle it is, then whose turn it is.
func (a replica) better(b replica) bool {
	switch {
	case (a.idle > 0) != (b.idle > 0):
		return a.idle > 0
	case a.known != b.known:
		return a.known > b.known
	case a.idle != b.idle:
		return a.idle > b.idle
	default:
		return a.chosen < b.chosen
	}
}

// pick chooses the replica for a prompt, and remembers it.
func pick(prompt []byte) (string, error) {
	addresses, err := replicas()
	if err != nil {
		return "", err
	}
	idle := make([]int, len(addresses))
	var asked sync.WaitGroup
	for place, address := range addresses {
		asked.Go(func() { idle[place] = free(address) })
	}
	asked.Wait()
	hashes, known := beginnings(prompt), map[string]int{}
	memory.Lock()
	defer memory.Unlock()
	for depth, hash := range hashes {
		for address := range memory.sent[hash] {
			known[address] = depth + 1
		}
	}
	var best replica
	for place, address := range addresses {
		next := replica{address, idle[place], known[address], memory.chosen[address]}
		if best.address == "" || next.better(best) {
			best = next
		}
	}
	log.Printf("%s: it was sent %d of %d blocks before, and has %d slots free", best.address, best.known, len(hashes), best.idle)
	memory.count++
	memory.chosen[best.address] = memory.count
	for _, hash := range hashes {
		if memory.sent[hash] == nil {
			memory.sent[hash] = map[string]bool{}
		}
		memory.sent[hash][best.address] = true
	}
	return best.address, nil
}

type picker struct {
	ext.UnimplementedExternalProcessorServer
}

// Process hears a request's headers and then its whole body; with the body comes the answer.
func (picker) Process(stream ext.ExternalProcessor_ProcessServer) error {
	for {
		heard, err := stream.Recv()
		if err != nil {
			return nil // the request has ended
		}
		answer := &ext.ProcessingResponse{Response: &ext.ProcessingResponse_RequestHeaders{RequestHeaders: &ext.HeadersResponse{}}}
		if body := heard.GetRequestBody(); body != nil {
			address, err := pick(body.Body)
			if err != nil {
				return fmt.Errorf("no replica: %w", err)
			}
			set := &core.HeaderValueOption{
				Header:       &core.HeaderValue{Key: *header, RawValue: []byte(address)},
				AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
			}
			answer.Response = &ext.ProcessingResponse_RequestBody{RequestBody: &ext.BodyResponse{Response: &ext.CommonResponse{
				HeaderMutation: &ext.HeaderMutation{SetHeaders: []*core.HeaderValueOption{set}},
			}}}
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

func main() {
	flag.Parse()
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	ext.RegisterExternalProcessorServer(server, picker{})
	healthgrpc.RegisterHealthServer(server, health.NewServer())
	log.Fatal(server.Serve(listener))
}
