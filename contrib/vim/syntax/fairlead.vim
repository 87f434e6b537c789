" SPDX-License-Identifier: Apache-2.0
" fairlead.vim - syntax of fairlead.conf(5); made by man/gen.py from the directive table
if exists("b:current_syntax")
  finish
endif
syn iskeyword @,48-57,_,-,.
syn match fairleadComment /\%(^\|[[:space:]{};]\)\@1<=#.*$/
syn region fairleadString start=/"/ skip=/\\./ end=/"/ oneline contains=fairleadVariable
syn region fairleadString start=/`/ end=/`/
syn match fairleadVariable /\${[^}]*}/
syn match fairleadNumber /\<\d\+\%(\.\d\+\)\?\%(us\|ms\|[smhdkg]\|[kmg]bit\)\?\>/
syn keyword fairleadValue 1.2 1.3 auto body both bytes combined cpu
syn keyword fairleadValue custom debug default drain err http http/1.1 info
syn keyword fairleadValue json kernel least-connection maint none off on optional
syn keyword fairleadValue ping ready redirect refuse reject required respond rfc7239
syn keyword fairleadValue round-robin source-ip-hash status tcp trust udp use vserver
syn keyword fairleadValue warn when x-forwarded
syn keyword fairleadDirective access-log alpn backlog backup body-rate body-timeout buffer-memory buffer-response
syn keyword fairleadDirective ca cert ciphers ciphersuites client-ca client-verify congestion connect-timeout
syn keyword fairleadDirective consolidate default distribute drain-generations drain-timeout error-log every expect
syn keyword fairleadDirective fall forwarded groups head-timeout heartbeat-timeout host http idle-max
syn keyword fairleadDirective idle-timeout include keepalive-max listen max-body max-connections max-fields max-head
syn keyword fairleadDirective max-objects max-request-line method min-version ocsp policy port protocol
syn keyword fairleadDirective redirect reject remove-header remove-response-header request-id resolver respond response-timeout
syn keyword fairleadDirective responses retries rise send service set-header set-response-header shutdown-grace
syn keyword fairleadDirective sni socket state ticket-keys ticket-lifetime tickets timeout tls
syn keyword fairleadDirective trust-forwarded unknown-sni upgrade use user verify via weight
syn keyword fairleadDirective workers
syn keyword fairleadObject admin monitor pool vserver
hi def link fairleadComment Comment
hi def link fairleadString String
hi def link fairleadVariable Identifier
hi def link fairleadNumber Number
hi def link fairleadValue Constant
hi def link fairleadDirective Keyword
hi def link fairleadObject Structure
let b:current_syntax = "fairlead"
