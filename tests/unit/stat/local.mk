# SPDX-License-Identifier: Apache-2.0

check_PROGRAMS += \
	tests/unit/stat/test_board \
	tests/unit/stat/test_count \
	tests/unit/stat/test_crash \
	tests/unit/stat/test_error \
	tests/unit/stat/test_fold \
	tests/unit/stat/test_mail \
	tests/unit/stat/test_object \
	tests/unit/stat/test_owner \
	tests/unit/stat/test_ring

tests_unit_stat_test_board_SOURCES = tests/unit/stat/test_board.c tests/unit/stat/seg_test.h
tests_unit_stat_test_board_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_stat_test_count_SOURCES = tests/unit/stat/test_count.c tests/unit/stat/seg_test.h
tests_unit_stat_test_count_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_stat_test_crash_SOURCES = tests/unit/stat/test_crash.c tests/unit/stat/seg_test.h \
	tests/unit/stat/crash_points.h
tests_unit_stat_test_crash_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_stat_test_error_SOURCES = tests/unit/stat/test_error.c tests/unit/stat/seg_test.h
tests_unit_stat_test_error_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_stat_test_fold_SOURCES = tests/unit/stat/test_fold.c tests/unit/stat/seg_test.h
tests_unit_stat_test_fold_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_stat_test_mail_SOURCES = tests/unit/stat/test_mail.c tests/unit/stat/seg_test.h
tests_unit_stat_test_mail_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_stat_test_object_SOURCES = tests/unit/stat/test_object.c tests/unit/stat/seg_test.h
tests_unit_stat_test_object_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_stat_test_owner_SOURCES = tests/unit/stat/test_owner.c tests/unit/stat/seg_test.h
tests_unit_stat_test_owner_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
tests_unit_stat_test_ring_SOURCES = tests/unit/stat/test_ring.c tests/unit/stat/seg_test.h
tests_unit_stat_test_ring_LDADD = libfairlead.a $(CHECK_LIBS) $(FL_LIBS)
