// Proxy to nearest llama-server instance
addEventListener('fetch', event => {
  event.respondWith(handleRequest(event.request))
})

async function handleRequest(request) {
  // Route to nearest server based on geolocation
  const geo = request.cf
  const serverUrl = getClosestServer(geo.country)

  // Forward request
  return fetch(serverUrl + new URL(request.url).pathname, {
    method: request.method,
    headers: request.headers,
    body: request.body
  })
}

function getClosestServer(country) {
  const servers = {
    'US': 'https://us-east.llama.example.com',
    'EU': 'https://eu-west.llama.example.com',
    'ASIA': 'https://asia-east.llama.example.com'
  }
  return servers[country] || servers['US']
}
