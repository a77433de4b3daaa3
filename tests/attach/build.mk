# SPDX-License-Identifier: MIT
# Channels between programs and lanes: one program under ASan and UBSan, one under TSan (its rules
# stand in tests/api/build.mk).

ATTACH_TESTS := $(B)/tests/attach/attach_channel_test $(B)/tests/attach/attach_threads_test
$(B)/tests/attach/attach_channel_test: $(call asan,tests/attach/attach_channel_test.c user/attach/*.c)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SAN) -o $@ $(filter %.o,$^) -lcmocka

$(B)/tests/attach/attach_threads_test: $(patsubst %.c,$(B)/tsan/%.o,tests/attach/attach_threads_test.c user/attach/channel.c)
	$(say) LINK $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TSAN) -o $@ $(filter %.o,$^) -pthread -lcmocka

test-programs: $(ATTACH_TESTS)
