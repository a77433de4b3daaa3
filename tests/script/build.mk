# SPDX-License-Identifier: MIT
# The shared object that packetdrill loads, and our own packet scripts over it.

SCRIPT_SO := $(B)/mr-packetdrill.so
script_pic = $(patsubst %.c,$(B)/pic/%.o,$(wildcard $(1)))
SCRIPT_OBJ := $(call script_pic,tests/script/so/*.c) \
	$(foreach d,wire frame tcp tlv port attach lane,$(call script_pic,user/$(d)/*.c))


$(B)/pic/%.o: %.c Makefile
	$(say) PIC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -fvisibility=hidden -c $< -o $@

$(SCRIPT_SO): $(SCRIPT_OBJ)
	$(say) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -shared -pthread -Wl,-z,defs -o $@ $(filter %.o,$^)

# A program as packetdrill is one: full RELRO, so that its table of functions is read-only.
$(B)/script-host: tests/script/host.c tests/script/so/packetdrill.h Makefile
	$(say) CC $@
	$(Q)$(CC) $(ALL_CFLAGS) -Wl,-z,relro,-z,now -o $@ $< -ldl

.PHONY: script
all: $(SCRIPT_SO) $(B)/script-host

script: $(SCRIPT_SO) $(B)/script-host
	$(Q)$(B)/script-host $(SCRIPT_SO)
	$(Q)$(PYTHON) tests/script/run.py --so $(SCRIPT_SO)
