-- SPDX-License-Identifier: MIT
--
-- Millrace's TLV messages in Wireshark and tshark (docs/tlv.md says what they look like):
--
--	tshark -X lua_script:millrace_tlv.lua -o millrace_tlv.tag_bytes:4 -r FILE.pcapng
--
-- or copied into the folder of personal Lua plug-ins (Help, About, Folders). Everything that a rule
-- can choose is a preference; "Decode As" works on other ports. Messages over several segments are
-- put together by TCP's reassembly.

local tlv = Proto("millrace_tlv", "Millrace TLV")

local widths = "1, 2, 4 or 8"
tlv.prefs.ports = Pref.range("TCP ports", "7000-7002", "Ports whose streams are messages", 65535)
tlv.prefs.tag_bytes = Pref.uint("Bytes of a tag", 2, widths)
tlv.prefs.length_bytes = Pref.uint("Bytes of a length", 4, widths)
tlv.prefs.little_endian = Pref.bool("Little endian", false, "Byte order of tag, length and check")
tlv.prefs.length_has_header = Pref.bool("Length counts the header", false,
					"The length counts tag and length too, not the value alone")
tlv.prefs.max_bytes = Pref.uint("Largest value", 1048576, "Bytes; a longer one is malformed")
tlv.prefs.crc32c = Pref.bool("CRC-32C behind each value", false, "The rule says check: crc32c")
tlv.prefs.ping_tag = Pref.string("Tag of pings", "", "A number, empty: none")
tlv.prefs.pong_tag = Pref.string("Tag of pongs", "", "A number, empty: none")
tlv.prefs.nested = Pref.range("Tags with messages inside", "",
			      "Values of these tags are messages of the same layout themselves, "
			      .. "without checks", 65535)

local f = {
	tag = ProtoField.uint64("millrace_tlv.tag", "Tag", base.DEC),
	length = ProtoField.uint64("millrace_tlv.length", "Length", base.DEC),
	value_bytes = ProtoField.uint32("millrace_tlv.value_bytes", "Bytes of value", base.DEC),
	value = ProtoField.bytes("millrace_tlv.value", "Value"),
	kind = ProtoField.string("millrace_tlv.kind", "Kind"),
	check = ProtoField.uint32("millrace_tlv.check", "Check", base.HEX),
	check_ok = ProtoField.bool("millrace_tlv.check_ok", "Check is right"),
}
tlv.fields = { f.tag, f.length, f.value_bytes, f.value, f.kind, f.check, f.check_ok }

local e_length = ProtoExpert.new("millrace_tlv.bad_length", "Length cannot be",
				 expert.group.MALFORMED, expert.severity.ERROR)
local e_check = ProtoExpert.new("millrace_tlv.bad_check", "Check is wrong",
				expert.group.CHECKSUM, expert.severity.ERROR)
local e_nested = ProtoExpert.new("millrace_tlv.bad_nested", "Messages inside do not fill the value",
				 expert.group.MALFORMED, expert.severity.WARN)
local e_layout = ProtoExpert.new("millrace_tlv.bad_layout", "Preferences: widths are 1, 2, 4 or 8",
				 expert.group.PROTOCOL, expert.severity.ERROR)
tlv.experts = { e_length, e_check, e_nested, e_layout }

local DEPTH_MOST = 8

-- CRC-32C of RFC 3720 B.4, reflected polynomial 0x82f63b78
local crc_table = {}
for i = 0, 255 do
	local v = i
	for _ = 1, 8 do
		local low = bit.band(v, 1)
		v = bit.rshift(v, 1)
		if low == 1 then
			v = bit.bxor(v, 0x82f63b78)
		end
	end
	crc_table[i] = v
end

local function crc32c(range)
	local bytes, crc = range:bytes(), -1

	for i = 0, bytes:len() - 1 do
		local at = bit.band(bit.bxor(crc, bytes:get_index(i)), 0xff)
		crc = bit.bxor(bit.rshift(crc, 8), crc_table[at])
	end
	return bit.bnot(crc) % 0x100000000
end

local is_width = { [1] = true, [2] = true, [4] = true, [8] = true }

local function is_layout_valid()
	return is_width[tlv.prefs.tag_bytes] and is_width[tlv.prefs.length_bytes]
end

local function header_bytes()
	return tlv.prefs.tag_bytes + tlv.prefs.length_bytes
end

local function check_bytes()
	return tlv.prefs.crc32c and 4 or 0
end

-- As a UInt64: a tag may need all 64 bits.
local function number(range)
	return tlv.prefs.little_endian and range:le_uint64() or range:uint64()
end

-- Bytes of the value that the header at offset claims; nil: it cannot be.
local function value_bytes(tvb, offset)
	local n = number(tvb(offset + tlv.prefs.tag_bytes, tlv.prefs.length_bytes)):tonumber()

	if tlv.prefs.length_has_header then
		n = n - header_bytes()
	end
	if n < 0 or n > tlv.prefs.max_bytes then
		return nil
	end
	return n
end

-- Of a tag in a preference: "12" or "0x12"
local function is_tag(tag, text)
	local n = tonumber(text)

	return n ~= nil and tag == UInt64.new(n % 0x100000000, math.floor(n / 0x100000000))
end

local function kind_of(tag)
	if is_tag(tag, tlv.prefs.ping_tag) then
		return "ping"
	elseif is_tag(tag, tlv.prefs.pong_tag) then
		return "pong"
	end
	return "message"
end

local nested_tags = {}

-- "1,5-7" as a set. The preference may be a string or an object that prints as one.
local function read_range(text)
	local set = {}

	for first, last in tostring(text):gmatch("(%d+)%s*%-?%s*(%d*)") do
		last = last ~= "" and last or first
		for i = tonumber(first), math.min(tonumber(last), 65535) do
			set[i] = true
		end
	end
	return set
end

local show_nested

-- Tag, length and value of the message at offset. Returns the bytes of header and value.
local function show_message(tvb, tree, offset, n, depth)
	local tag_range = tvb(offset, tlv.prefs.tag_bytes)
	local tag, head = number(tag_range), header_bytes()

	tree:add(f.tag, tag_range, tag)
	tree:add(f.length, tvb(offset + tlv.prefs.tag_bytes, tlv.prefs.length_bytes),
		 number(tvb(offset + tlv.prefs.tag_bytes, tlv.prefs.length_bytes)))
	tree:add(f.value_bytes, n):set_generated()
	if n > 0 then
		local value = tree:add(f.value, tvb(offset + head, n))

		if nested_tags[tag:tonumber()] and depth < DEPTH_MOST then
			show_nested(tvb, value, offset + head, n, depth + 1)
		end
	end
	return head + n
end

show_nested = function(tvb, tree, offset, room, depth)
	local last = offset + room

	while offset < last do
		local n = last - offset >= header_bytes() and value_bytes(tvb, offset) or nil

		if n == nil or n > last - offset - header_bytes() then
			tree:add_proto_expert_info(e_nested)
			return
		end
		offset = offset + show_message(tvb, tree:add(tlv, tvb(offset, header_bytes() + n),
							     "Message inside"), offset, n, depth)
	end
end

local function show_check(tvb, tree, bytes)
	local range = tvb(bytes, 4)
	local stands = tlv.prefs.little_endian and range:le_uint() or range:uint()
	local ok = crc32c(tvb(0, bytes)) == stands

	tree:add(f.check, range, stands)
	tree:add(f.check_ok, ok):set_generated()
	if not ok then
		tree:add_proto_expert_info(e_check)
	end
end

-- One whole message, or what is left of a stream that cannot be read on.
local function show_pdu(tvb, pinfo, tree)
	local item = tree:add(tlv, tvb())
	local n = value_bytes(tvb, 0)

	pinfo.cols.protocol = "TLV"
	if n == nil then
		item:add(f.length, tvb(tlv.prefs.tag_bytes, tlv.prefs.length_bytes),
			 number(tvb(tlv.prefs.tag_bytes, tlv.prefs.length_bytes)))
		item:add_proto_expert_info(e_length)
		return tvb:len()
	end

	local tag = number(tvb(0, tlv.prefs.tag_bytes))
	local kind = kind_of(tag)
	local bytes = show_message(tvb, item, 0, n, 0)

	item:add(f.kind, kind):set_generated()
	item:append_text(string.format(", %s, tag %s, %d bytes", kind, tostring(tag), n))
	pinfo.cols.info:append(string.format(" [%s tag=%s bytes=%d]", kind, tostring(tag), n))
	if tlv.prefs.crc32c then
		show_check(tvb, item, bytes)
	end
	return tvb:len()
end

local function pdu_bytes(tvb, _, offset)
	local n = value_bytes(tvb, offset)

	if n == nil then
		return tvb:len() - offset -- nothing behind it can be told apart
	end
	return header_bytes() + n + check_bytes()
end

function tlv.dissector(tvb, pinfo, tree)
	if not is_layout_valid() then
		tree:add(tlv, tvb()):add_proto_expert_info(e_layout)
		return tvb:len()
	end
	dissect_tcp_pdus(tvb, tree, header_bytes(), pdu_bytes, show_pdu)
	return tvb:len()
end

local tcp_port = DissectorTable.get("tcp.port")
local registered = nil

function tlv.prefs_changed()
	if registered ~= tlv.prefs.ports then
		if registered then
			tcp_port:remove(registered, tlv)
		end
		registered = tlv.prefs.ports
		tcp_port:add(registered, tlv)
	end
	nested_tags = read_range(tlv.prefs.nested)
end

function tlv.init()
	nested_tags = read_range(tlv.prefs.nested)
end

registered = tlv.prefs.ports
tcp_port:add(registered, tlv)
