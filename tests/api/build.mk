# SPDX-License-Identifier: MIT
# The public library's table of scenarios, on every backend that is there.

API_ASAN := $(call asan,user/api/*.c user/attach/*.c)
# the wire has whole lanes in it
API_ASAN += $(if $(wildcard user/api/wire.c),$(ASAN_LANE),$(call asan,user/tlv/*.c))
API_HELP := $(call asan,$(filter-out %_test.c,$(wildcard tests/api/*.c)))
API_THREADS := $(B)/tests/api/threads_test
API_TESTS := $(filter-out $(API_THREADS),$(patsubst %.c,$(B)/%,$(wildcard tests/api/*_test.c)))
TEST_PROGRAMS += $(API_TESTS) $(API_THREADS)

$(API_TESTS): $(B)/tests/%: $(B)/asan/tests/%.o $(API_HELP) $(API_ASAN)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SAN) -o $@ $(filter %.o,$^) -lcmocka -pthread

# Threads on one set, under ThreadSanitizer.
TSAN := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
tsan = $(patsubst %.c,$(B)/tsan/%.o,$(wildcard $(1)))

$(B)/tsan/%.o: %.c Makefile
	$(say) TSAN $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(TSAN) -c $< -o $@

$(API_THREADS): $(call tsan,tests/api/threads_test.c tests/api/world.c user/api/kernel*.c \
		user/api/context.c user/api/sock.c user/api/set.c user/api/select.c)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TSAN) -o $@ $(filter %.o,$^) -lcmocka -pthread
