-- The programs of suite/main.go for Lua 5.4.
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end

local function sieve(n, rounds)
  local count, flags = 0, {}
  for _ = 1, rounds do
    for i = 0, n - 1 do flags[i] = true end
    count = 0
    for i = 2, n - 1 do
      if flags[i] then
        count = count + 1
        for j = i * 2, n - 1, i do flags[j] = false end
      end
    end
  end
  return count
end

local pi = math.pi
local solar, days = 4 * pi * pi, 365.24
local function bodies()
  return {
    { x = 0, y = 0, z = 0, vx = 0, vy = 0, vz = 0, mass = solar },
    { x = 4.84143144246472090, y = -1.16032004402742839, z = -.103622044471123109, vx = .00166007664274403694 * days, vy = .00769901118419740425 * days, vz = -.0000690460016972063023 * days, mass = .000954791938424326609 * solar },
    { x = 8.34336671824457987, y = 4.12479856412430479, z = -.403523417114321381, vx = -.00276742510726411 * days, vy = .00499852801234917238 * days, vz = .0000230417297573763929 * days, mass = .000285885980666130812 * solar },
    { x = 12.8943695621391310, y = -15.1111514016986312, z = -.223307578892655734, vx = .00296460137564761618 * days, vy = .00237847173959480950 * days, vz = -.0000296589568540237556 * days, mass = .0000436624404335156298 * solar },
    { x = 15.3796971148509165, y = -25.9193146099879641, z = .179258772950371181, vx = .00268067772490389322 * days, vy = .00162824170038242295 * days, vz = -.0000951592254519715870 * days, mass = .0000515138902046611451 * solar },
  }
end

local function advance(sys, dt)
  local n = #sys
  for i = 1, n do
    local b = sys[i]
    for j = i + 1, n do
      local c = sys[j]
      local dx, dy, dz = b.x - c.x, b.y - c.y, b.z - c.z
      local d2 = dx * dx + dy * dy + dz * dz
      local mag = dt / (d2 * math.sqrt(d2))
      local bm, cm = b.mass * mag, c.mass * mag
      b.vx = b.vx - dx * cm
      b.vy = b.vy - dy * cm
      b.vz = b.vz - dz * cm
      c.vx = c.vx + dx * bm
      c.vy = c.vy + dy * bm
      c.vz = c.vz + dz * bm
    end
  end
  for i = 1, n do
    local b = sys[i]
    b.x = b.x + dt * b.vx
    b.y = b.y + dt * b.vy
    b.z = b.z + dt * b.vz
  end
end

local function nbody(n)
  local sys = bodies()
  for _ = 1, n do advance(sys, 0.01) end
  return sys[1].x
end

local function matrix(n, seed)
  local m = {}
  for i = 0, n - 1 do
    local r = {}
    for j = 0, n - 1 do r[j] = seed * (i - j) * (i + j) end
    m[i] = r
  end
  return m
end

local function matmul(n)
  local a, b, c = matrix(n, 1 / n), matrix(n, 2 / n), {}
  for i = 0, n - 1 do
    local r, ai = {}, a[i]
    for j = 0, n - 1 do
      local sum = 0.0
      for k = 0, n - 1 do sum = sum + ai[k] * b[k][j] end
      r[j] = sum
    end
    c[i] = r
  end
  return c[n // 2][n // 2]
end

local function grow(d) if d == 0 then return {} end return { grow(d - 1), grow(d - 1) } end
local function check(t) if not t[1] then return 1 end return 1 + check(t[1]) + check(t[2]) end
local function trees(depth, rounds)
  local long, sum = grow(depth), 0
  for _ = 1, rounds do sum = sum + check(grow(depth - 4)) end
  return sum + check(long)
end

local function bytes(n, rounds)
  local buf, h = {}, 2166136261
  for i = 0, n - 1 do buf[i] = 0 end
  for r = 0, rounds - 1 do
    for i = 0, n - 1 do
      local b = (buf[i] * 31 + ((i + r) & 255)) & 255
      buf[i] = b
      h = ((h ~ b) * 16777619) & 0xffffffff
    end
  end
  return h
end

local programs = {
  fib = function() return fib(35) end,
  sieve = function() return sieve(1000000, 12) end,
  nbody = function() return nbody(400000) end,
  matmul = function() return matmul(220) end,
  trees = function() return trees(16, 60) end,
  bytes = function() return bytes(1 << 20, 24) end,
}
local began = os.clock()
local result = programs[arg[1]]()
print(result)
print(string.format("%.3f ms", (os.clock() - began) * 1000))
