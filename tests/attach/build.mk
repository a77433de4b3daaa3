# SPDX-License-Identifier: MIT
# Channels between programs and lanes: one program under ASan and UBSan, one under TSan.

ATTACH_TESTS := $(B)/tests/attach/attach_channel_test $(B)/tests/attach/attach_threads_test
TSAN := -O1 -g -fsanitize=thread -fno-omit-frame-pointer
tsan  = $(patsubst %.c,$(B)/tsan/%.o,$(wildcard $(1)))

$(B)/tsan/%.o: %.c Makefile
	$(say) TSAN $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(TSAN) -c $< -o $@

$(B)/tests/attach/attach_channel_test: $(call asan,tests/attach/attach_channel_test.c user/attach/*.c)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SAN) -o $@ $(filter %.o,$^) -lcmocka

$(B)/tests/attach/attach_threads_test: $(call tsan,tests/attach/attach_threads_test.c user/attach/*.c)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TSAN) -o $@ $(filter %.o,$^) -pthread -lcmocka

test-programs: $(ATTACH_TESTS)
