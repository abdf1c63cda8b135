// Command witness stands behind a door in place of a server, does what the request's own body asks of it, and tells afterwards what
// reached it: which requests, with which headers, how often.
//
// A body may hold {"witness": {…}}:
//
//	{"silent": 5}             say nothing for so many seconds, then reply
//	{"every": 1, "times": 9}  reply with a stream of so many events, one each so many seconds
//	{"hang": true}            never reply
//	{"reset": true}           close the connection when the request has been read
//	{"break": true}           close it in the middle of a stream
//
// It speaks HTTP on --listen; GET /seen on --tell gives the requests so far, in the order in which they came.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

var (
	listen = flag.String("listen", ":8080", "where requests come in")
	tell   = flag.String("tell", ":8081", "where it tells what it saw")
)

// what a request asks for.
type behaviour struct {
	Silent float64 `json:"silent"`
	Every  float64 `json:"every"`
	Times  int     `json:"times"`
	Hang   bool    `json:"hang"`
	Reset  bool    `json:"reset"`
	Break  bool    `json:"break"`
}

// what is told of a request.
type seen struct {
	ID      string      `json:"id"`
	Method  string      `json:"method"`
	Path    string      `json:"path"`
	Host    string      `json:"host"`
	Headers http.Header `json:"headers"`
	Bytes   int         `json:"bytes"`
}

var (
	lock     sync.Mutex
	requests = []seen{}
)

func note(one seen) {
	lock.Lock()
	defer lock.Unlock()
	requests = append(requests, one)
}

// cut closes the connection with a reset, so that nobody takes it for the end of a reply.
func cut(writer http.ResponseWriter) {
	connection, _, err := writer.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	connection.(*net.TCPConn).SetLinger(0)
	connection.Close()
}

func seconds(count float64) time.Duration {
	return time.Duration(count * float64(time.Second))
}

// reply does what the body asks for, as long as the client stays.
func reply(writer http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	var asked struct {
		ID      string    `json:"id"`
		Witness behaviour `json:"witness"`
	}
	json.Unmarshal(body, &asked) // what is no JSON asks for nothing
	note(seen{asked.ID, request.Method, request.RequestURI, request.Host, request.Header, len(body)})
	gone, does := request.Context().Done(), asked.Witness
	if does.Hang {
		<-gone
		return
	}
	select {
	case <-time.After(seconds(does.Silent)):
	case <-gone:
		return
	}
	if does.Reset {
		cut(writer)
		return
	}
	if does.Times == 0 && !does.Break {
		writer.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(writer, `{"id": %q, "model": "witness", "content": "seen"}`, asked.ID)
		return
	}
	writer.Header().Set("Content-Type", "text/event-stream")
	flusher := writer.(http.Flusher)
	for number := 0; number < max(does.Times, 1); number++ {
		fmt.Fprintf(writer, "data: {\"content\": \"%d\", \"stop\": false}\n\n", number)
		flusher.Flush()
		select {
		case <-time.After(seconds(does.Every)):
		case <-gone:
			return
		}
	}
	if does.Break {
		cut(writer)
		return
	}
	fmt.Fprint(writer, "data: {\"content\": \"\", \"stop\": true}\n\n")
}

func main() {
	flag.Parse()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /seen", func(writer http.ResponseWriter, _ *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		json.NewEncoder(writer).Encode(requests)
	})
	go func() { log.Fatal(http.ListenAndServe(*tell, mux)) }()
	log.Fatal(http.ListenAndServe(*listen, http.HandlerFunc(reply)))
}
