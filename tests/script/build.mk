# SPDX-License-Identifier: MIT
# The shared object that packetdrill loads, and our own packet scripts over it.

SCRIPT_SO := $(B)/mr-packetdrill.so
script_pic = $(patsubst %.c,$(B)/pic/%.o,$(wildcard $(1)))
SCRIPT_OBJ := $(call script_pic,tests/script/so/*.c) \
	$(foreach d,wire frame tcp tlv port lane,$(call script_pic,user/$(d)/*.c))


$(B)/pic/%.o: %.c Makefile
	$(say) PIC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -fvisibility=hidden -c $< -o $@

$(SCRIPT_SO): $(SCRIPT_OBJ)
	$(say) LINK $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -shared -pthread -Wl,-z,defs -o $@ $(filter %.o,$^)

.PHONY: script
all: $(SCRIPT_SO)

script: $(SCRIPT_SO)
	$(Q)$(PYTHON) tests/script/run.py --so $(SCRIPT_SO)
