-- What a program of schema version 4 left behind.
INSERT INTO instances VALUES ('i', 's', 'p', 'd', 'be', 'org', 'space', CAST('{"size":1}' AS BLOB), CAST('{}' AS BLOB), 1, 1,
  CAST('{"bucket":"b"}' AS BLOB), CAST('{"endpoint":"e"}' AS BLOB),
  CAST('[{"operation":"o","verb":"update","inputs":{"bucket":"c"},"handle":"aA=="}]' AS BLOB),
  '', '', NULL, NULL, 'o', 1700000000000001, 1700000000000001, '1.2.3');
INSERT INTO bindings VALUES ('i', 'b', 's', 'p', 'd', 'be', 'digest', NULL, NULL, NULL, '', 1, NULL, NULL, NULL,
  CAST('{"credentials":{"uri":"u"}}' AS BLOB), 'bind', 1700000000000001, 1700000000000001, '1.2.4', 1700000000000001);
INSERT INTO operations VALUES (7, 'o', 'update', 'i', '', 'pending', 'call', 'digest', 'd', 'be', 's', 'p',
  CAST('{"service_id":"s","plan_id":"p","inputs":{"bucket":"c"}}' AS BLOB), CAST('h' AS BLOB), CAST('seed' AS BLOB),
  3, 1, NULL, 0, 1700000000000001, '', -1, 1, 0, '', CAST('{"code":"failed","message":"no"}' AS BLOB),
  CAST('["x"]' AS BLOB), 'admin', NULL, 'r', 'h', 2, 1700000000000001, NULL, NULL, 0, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
INSERT INTO steps VALUES (7, 1, 1700000000000001, 'accepted', '', '');
INSERT INTO fences VALUES ('i', 3);
INSERT INTO secrets VALUES ('i', '', 'admin', CAST('pw' AS BLOB));
INSERT INTO reservations VALUES ('be', 'bucket', 'b', 'i');
INSERT INTO definitions VALUES (1, 'd', CAST('blob' AS BLOB));
INSERT INTO documents VALUES ('k', CAST('v' AS BLOB));
INSERT INTO leases VALUES ('h', 'host/1', 'v1', 4, 1700000000000001, 1700000000000002);
